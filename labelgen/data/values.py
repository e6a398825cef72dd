"""Normalized values: the meaning of the words of a slot, so that "a quarter of an hour" and "15 minutes" are equal.

Rules are small tables of words, one file for each language (languages/*.yaml). Forms: numbers `15` and `2.5`, percent `40%`,
money `20 EUR`, quantities `2 bottle`, durations of ISO 8601 `PT15M`, clock times `16:30`, dates `2026-03-02`, and, as in TIMEX3
(ISO 24617-1), weeks `2026-W10`, weekends `2026-W10-WE` and parts of days `2026-03-02TMO`. A time without am, pm or a part of the
day stays on the dial: `~04:30`. Dates that depend on the day of speaking need the start of the dialogue; the machine's clock is
never read. The catalogue (catalogue.py) comes first. What nothing reads entirely stays as its words.

Why no library does this: docs/explanation/decisions.md."""

import locale as locales
import re
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec

from labelgen.data.catalogue import Catalogue, plain_words

VERSION = "1"
"""Version of the rules; the provenance of labels names it."""

TEXT = "text"
"""Origin of a value that neither rule nor catalogue resolves: the words themselves."""

CATALOGUE, SIMILAR = "catalogue", "similar"
"""Origins of a value of the catalogue: by one of its names, and by a name that is similar to the words."""

DEFAULT_LANGUAGE = "en"
"""Language of records without a locale."""

_CODE = 3
"""Letters of the longest code of a language (ISO 639)."""
_FOLDER = Path(__file__).with_name("languages")
_NORMAL = {
    "date": re.compile(r"(?:\d{4}|xxxx)-(?:\d\d-\d\d(?:t(?:mo|af|ev|ni))?|w\d\d(?:-we)?)"),
    "time": re.compile(r"~?(?:[01]\d|2[0-3]):[0-5]\d"),
    "duration": re.compile(r"pt?(?:\d+[hmsdw])+"),
}
"""Values that are normalized already, without case."""

_TOKEN = re.compile(r"\.?\d+(?:[.,]\d+)*|[^\W\d_]+(?:['.][^\W\d_]+)*\.?|[%$€£°:/-]")
_DECIMAL = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d*)\.\d+")
_LONGEST = 30
"""Characters of a number; longer ones stay words."""


@dataclass(frozen=True, slots=True)
class Value:
    """text: the normalized value. origin: the kind of rule (`number`, `duration`, ...), CATALOGUE, SIMILAR, or TEXT."""

    text: str
    origin: str

    @property
    def resolved(self) -> bool:
        """Whether a rule or the catalogue gave it."""
        return self.origin != TEXT


@lru_cache(maxsize=4096)
def language_of(locale: str | None) -> str:
    """The language of a locale: `de` for `de-DE` and for `German`, DEFAULT_LANGUAGE for None."""
    if not locale:
        return DEFAULT_LANGUAGE
    word = re.split(r"[-_.]", locale)[0].casefold()
    if len(word) <= _CODE:
        return word
    # The C library's aliases of locales are names of languages.
    return locales.normalize(word).partition("_")[0].casefold()


def normalize(
    words: str,
    slot: str | None = None,
    catalogue: Catalogue | None = None,
    start: str | None = None,
    locale: str | None = None,
) -> Value:
    """The value that words of a slot mean. start: of the dialogue, ISO 8601; without it, relative dates stay words. locale: such as
    `en-US`; a language without a table has no rules."""
    match = None if catalogue is None or slot is None else catalogue.match(slot, words)
    if match is not None and match.score == 100.0:
        return Value(match.value, CATALOGUE)
    value = _by_rule(words, _day(start), language_of(locale))
    if value is not None:
        return value
    return Value(words, TEXT) if match is None else Value(match.value, SIMILAR)


def comparable(value: str, start: str | None = None, locale: str | None = None) -> str:
    """A value in the form in which metrics compare it: by rules, without case."""
    return plain_words(normalize(value, start=start, locale=locale).text)


def _day(start: str | None) -> date | None:
    """The day of the start as it is written, in its own time zone; None for a placeholder in the first or last year of the calendar."""
    try:
        day = None if start is None else date.fromisoformat(start[:10])
    except ValueError:
        return None
    return None if day is None or day.year in (MINYEAR, MAXYEAR) else day


@dataclass(frozen=True, slots=True)
class ValueRules:
    """How slot values are normalized: by the rules, and by a catalogue where there is one."""

    catalogue: Catalogue | None = None

    @property
    def version(self) -> str:
        """The version of the rules, and the digest of the catalogue."""
        return VERSION if self.catalogue is None else f"{VERSION} {self.catalogue.digest}"


@lru_cache(maxsize=65536)
def _by_rule(words: str, day: date | None, language: str) -> Value | None:
    table = _table(language)
    return None if table is None else _Reader(table, day).value(plain_words(words))


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of a language; languages/en.yaml says what each group means."""

    numbers: dict[str, int]
    ordinals: dict[str, int]
    ordinal_endings: tuple[str, ...]
    scales: dict[str, int]
    dozen: dict[str, int]
    articles: tuple[str, ...]
    indefinite: tuple[str, ...]
    joins: tuple[str, ...]
    fractions: dict[str, float]
    of: tuple[str, ...]
    negative: tuple[str, ...]
    point: tuple[str, ...]
    durations: dict[str, tuple[int | str, ...]]
    percent: tuple[str, ...]
    money: dict[str, tuple[str, ...]]
    units: dict[str, tuple[str, ...]]
    weekdays: dict[str, int]
    months: dict[str, int]
    days: dict[str, int]
    next: tuple[str, ...]
    this: tuple[str, ...]
    later: tuple[str, ...]
    week: tuple[str, ...]
    month: tuple[str, ...]
    weekend: tuple[str, ...]
    prepositions: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    halves: dict[str, tuple[str, ...]]
    clocks: tuple[str, ...]
    noon: dict[str, str]
    past: tuple[str, ...]
    to: tuple[str, ...]
    leading_zero: tuple[str, ...]


@lru_cache(maxsize=16)
def _table(language: str) -> _Table | None:
    path = _FOLDER / f"{language}.yaml"
    if not re.fullmatch(r"[a-z]{2,3}", language) or not path.is_file():
        return None
    return msgspec.yaml.decode(path.read_bytes(), type=_Table)


Words = Sequence[str]


class _Reader:
    """Reads whole phrases; each rule takes all words or none."""

    def __init__(self, table: _Table, day: date | None) -> None:
        self.table = table
        self.day = day

    @cached_property
    def _rules(self) -> Mapping[str, Callable[[Words], str | None]]:
        return {
            "date": self._date,
            "time": self._time,
            "duration": self._duration,
            "percent": self._percent,
            "money": self._money,
            "quantity": self._quantity,
            "number": self._plain_number,
        }

    def value(self, text: str) -> Value | None:
        for kind, form in _NORMAL.items():
            if form.fullmatch(text):
                return Value(text.upper(), kind)
        words = _TOKEN.findall(text)
        if any(len(word) > _LONGEST and word[-1].isdecimal() for word in words):
            return None
        for kind, rule in self._rules.items():
            value = rule(words)
            if value is not None:
                return Value(value, kind)
        return None

    # Numbers

    def _number(self, words: Words) -> Fraction | None:
        """A number in digits or words, with fractions: "two and a half", "a quarter", "1.5", "twenty five"."""
        table = self.table
        if not words:
            return None
        if words[0] in table.negative:
            rest = self._number(words[1:])
            return None if rest is None else -rest
        if len(words) == 1 and words[0] in table.indefinite:
            return Fraction(1)
        for k in range(len(words)):
            tail = self._fraction(words[k:])
            if tail is None:
                continue
            head = words[:k]
            if not head:
                return tail
            if head[-1] in table.joins:
                before = self._number(head[:-1])
                return None if before is None else before + tail
        for k, word in enumerate(words):
            if word in table.point and 0 < k < len(words) - 1:
                whole = self._cardinal(words[:k])
                digits = [self._cardinal([digit]) for digit in words[k + 1 :]]
                if whole is not None and all(d is not None and d < 10 for d in digits):
                    return Fraction(f"{whole}.{''.join(str(d) for d in digits)}")
        if len(words) == 1 and _DECIMAL.fullmatch(words[0]):
            return Fraction(words[0].replace(",", ""))
        if words[-1] in table.dozen:
            head = words[:-1]
            times = Fraction(1) if not head or tuple(head) in {(a,) for a in table.articles} else self._number(head)
            return None if times is None else times * table.dozen[words[-1]]
        whole = self._cardinal(words)
        return None if whole is None else Fraction(whole)

    def _fraction(self, words: Words) -> Fraction | None:
        rest = words[1:] if words and words[0] in self.table.articles else words
        if len(rest) == 1 and rest[0] in self.table.fractions:
            return Fraction(self.table.fractions[rest[0]])
        return None

    def _cardinal(self, words: Words) -> int | None:
        """A whole number; digits with commas between thousands, or words from the largest scale down."""
        table = self.table
        if len(words) == 1 and re.fullmatch(r"\d{1,3}(?:,\d{3})+|\d+", words[0]):
            return int(words[0].replace(",", ""))
        total = current = 0
        ready = False
        last = 1000
        for k, word in enumerate(words):
            if word in table.numbers:
                n = table.numbers[word]
                if ready and not (last >= 20 and last % 10 == 0 and 0 < n < min(last, 10 if last < 100 else last)):
                    return None
                current, last, ready = current + n, n, True
            elif re.fullmatch(r"\d+", word) and not ready:
                current, last, ready = int(word), 1, True
            elif word in table.scales:
                if not ready and not (k == 1 and words[0] in table.articles):
                    return None
                scale = table.scales[word]
                current = max(current, 1) * scale
                if scale > 100:
                    total, current = total + current, 0
                last, ready = scale, True
            elif not self._passes(words, k, ready, last):
                return None
        return total + current if ready else None

    def _passes(self, words: Words, k: int, ready: bool, last: int) -> bool:
        """Whether a number goes on past its word k: "and" after hundreds, the hyphen within, "a" before "hundred"."""
        if k == len(words) - 1:
            return False
        if ready:
            return words[k] == "-" or (words[k] in self.table.joins and last >= 100)
        return k == 0 and words[0] in self.table.articles and words[1] in self.table.scales

    def _plain_number(self, words: Words) -> str | None:
        if len(words) == 1 and words[0] in self.table.articles:
            return None
        number = self._number(words)
        return None if number is None else _shown(number)

    # Measures

    def _percent(self, words: Words) -> str | None:
        value = self._with_unit(words, {"%": self.table.percent})
        return None if value is None else f"{_shown(value[0])}%"

    def _money(self, words: Words) -> str | None:
        if len(words) > 1 and words[0] in "$€£":
            words = (*words[1:], words[0])
        value = self._with_unit(words, self.table.money)
        return None if value is None else f"{_shown(value[0])} {value[1]}".strip()

    def _quantity(self, words: Words) -> str | None:
        if words and words[-1] in self.table.of:
            words = words[:-1]
        value = self._with_unit(words, self.table.units)
        return None if value is None else f"{_shown(value[0])} {value[1]}"

    def _with_unit(self, words: Words, units: Mapping[str, Sequence[str]]) -> tuple[Fraction, str] | None:
        for unit, forms in units.items():
            for form in forms:
                end = form.split()
                if _ends(words, end):
                    number = self._number(words[: -len(end)])
                    if number is not None:
                        return number, unit
        return None

    def _duration(self, words: Words) -> str | None:
        """Parts such as "an hour and 5 minutes", "an hour and a half", "half an hour", "a quarter of an hour"."""
        table = self.table
        unit_of = {str(w): u for u, forms in table.durations.items() for w in forms if isinstance(w, str)}
        seconds, start, last = Fraction(0), 0, 0
        words = [word for word in words if word != "-"]
        for k, word in enumerate(words):
            if word not in unit_of or k == start:
                continue
            head = words[start:k]
            head = head[1:] if start and head[0] in table.joins else head
            number = self._share(head)
            if number is None:
                return None
            last = int(table.durations[unit_of[word]][0])
            seconds, start = seconds + number * last, k + 1
        rest = words[start:]
        if rest:
            tail = self._fraction(rest[1:]) if start and rest[0] in table.joins else None
            if tail is None:
                return None
            seconds += tail * last
        return _iso_duration(seconds) if start and seconds > 0 and seconds.denominator == 1 else None

    def _share(self, head: Words) -> Fraction | None:
        """A number before a unit, or a share of it: "half an", "a quarter of an", "half a"."""
        table = self.table
        number = self._number(head)
        if number is not None:
            return number
        if head and head[-1] in table.articles:
            inner = head[:-1]
            inner = inner[:-1] if inner and inner[-1] in table.of else inner
            return self._fraction(inner)
        return None

    # Times and dates

    def _time(self, words: Words) -> str | None:
        table = self.table
        if words and words[0] in table.prepositions:
            words = words[1:]
        text = " ".join(words)
        if text in table.noon:
            return table.noon[text]
        half, words = self._half(words)
        clock = max((len(form.split()) for form in table.clocks if _ends(words, form.split())), default=0)
        words = words[: len(words) - clock]
        value = self._dial(words, half is not None or clock > 0)
        if value is None:
            return None
        hour, minute = value
        if half is None:
            return f"{'~' if 0 < hour <= 12 else ''}{hour:02}:{minute:02}"
        if hour > 12:
            return f"{hour:02}:{minute:02}"
        return f"{hour % 12 + (12 if half == 'PM' else 0):02}:{minute:02}"

    def _half(self, words: Words) -> tuple[str | None, Words]:
        """AM or PM, by the last words, and the words before; the longest form counts. "evening 4:30" is turned around."""
        if len(words) > 1 and any(words[0] in forms for forms in self.table.halves.values()):
            words = (*words[1:], words[0])
        plain = [word.replace(".", "") for word in words]
        forms = [(name, form.replace(".", "").split()) for name, some in self.table.halves.items() for form in some]
        ends = [(len(end), name) for name, end in forms if _ends(plain, end)]
        if not ends:
            return None, words
        size, name = max(ends)
        return name, words[: len(words) - size]

    def _dial(self, words: Words, alone: bool) -> tuple[int, int] | None:
        """Hour and minute. alone: whether an hour by itself is a time."""
        table = self.table
        if len(words) == 3 and words[1] == ":" and words[0].isdecimal() and words[2].isdecimal():
            return _checked(int(words[0]), int(words[2]))
        for k, word in enumerate(words):
            if word not in table.past and word not in table.to:
                continue
            share, hour = self._fraction(words[:k]), self._cardinal(words[k + 1 :])
            minutes = int(share * 60) if share is not None else self._cardinal(words[:k])
            if minutes is None or hour is None or not 0 < minutes < 60:
                return None
            return _checked(hour, minutes) if word in table.past else _checked((hour - 2) % 12 + 1, 60 - minutes)
        if alone and (hour := self._cardinal(words)) is not None and hour < 25:
            return _checked(hour, 0)
        if len(words) >= 2 and (hour := self._cardinal(words[:1])) is not None:
            zero = words[1] in table.leading_zero
            minute = self._cardinal(words[2:] if zero else words[1:])
            if minute is not None and (minute >= 10 or zero) and (alone or minute % 5 == 0):
                return _checked(hour, minute) if hour < 13 else None
        return None

    def _date(self, words: Words) -> str | None:
        table = self.table
        if words and words[0] in table.prepositions:
            words = words[1:]
        if len(words) > 1 and words[0] in table.later:
            words = words[1:]
        text = " ".join(words)
        if (value := self._month_day(words)) is not None:
            return value
        for code, forms in table.parts.items():
            for form in forms:
                before = text.removesuffix(form)
                if before == text or not (before.endswith(" ") or (not before and form in table.days)):
                    continue
                is_today = not before or before.strip() in table.this
                day = self.day if is_today else self._on_day(before.strip())
                return None if day is None else f"{day.isoformat()}T{code}"
        if self.day is None:
            return None
        year, week, _ = self.day.isocalendar()
        for name, by in [(w, 0) for w in table.this] + [(w, 1) for w in table.next]:
            monday = date.fromisocalendar(year, week, 1) + timedelta(days=7 * by)
            code = f"{monday.isocalendar()[0]}-W{monday.isocalendar()[1]:02}"
            if text in (f"{name} {one}" for one in table.week):
                return code
            if text in (f"{name} {one}" for one in table.weekend):
                return f"{code}-WE"
        day = self._on_day(text)
        return None if day is None else day.isoformat()

    def _on_day(self, text: str) -> date | None:
        """A day counted from that of the dialogue; a weekday is the next one after it, with "next" of the next week."""
        if self.day is None:
            return None
        if text in self.table.days:
            return self.day + timedelta(days=self.table.days[text])
        first, _, rest = text.partition(" ")
        if first in self.table.weekdays and rest.split()[-1:] and rest.split()[-1] in self.table.week:
            first, rest = rest.rpartition(" ")[0], first
            if first in self.table.this:
                monday = self.day - timedelta(days=self.day.weekday())
                return monday + timedelta(days=self.table.weekdays[rest])
        if text in self.table.weekdays:
            return self.day + timedelta(days=(self.table.weekdays[text] - self.day.weekday() - 1) % 7 + 1)
        if first in self.table.this and rest in self.table.weekdays:
            return self.day + timedelta(days=(self.table.weekdays[rest] - self.day.weekday()) % 7)
        if first in self.table.next and rest in self.table.weekdays:
            monday = self.day + timedelta(days=7 - self.day.weekday())
            return monday + timedelta(days=self.table.weekdays[rest])
        return None

    def _month_day(self, words: Words) -> str | None:
        """A day of a month, on the day of the dialogue or after it; `XXXX-03-14` where the dialogue has no start."""
        table = self.table
        if (next_day := self._day_of_month(words)) is not None:
            return next_day
        inner = [word for word in words if word not in (*table.articles, *table.of)]
        if len(inner) > 2 and inner[-1] in table.month and inner[-2] in table.this and self.day is not None:
            number = self._ordinal(inner[:-2])
            last = monthrange(self.day.year, self.day.month)[1]
            return None if number is None or not 1 <= number <= last else self.day.replace(day=number).isoformat()
        months = [k for k, word in enumerate(inner) if word in table.months]
        if len(months) != 1 or len(inner) < 2 or months[0] not in (0, len(inner) - 1):
            return None
        rest = inner[1:] if months[0] == 0 else inner[:-1]
        month, day = table.months[inner[months[0]]], self._ordinal(rest)
        if day is None or not 1 <= day <= 31:
            return None
        if self.day is None:
            return f"XXXX-{month:02}-{day:02}"
        for year in range(self.day.year, self.day.year + 9):
            try:
                value = date(year, month, day)
            except ValueError:
                continue
            if value >= self.day:
                return value.isoformat()
        return None

    def _day_of_month(self, words: Words) -> str | None:
        """ "the 11th": the next such day, from that of the dialogue on."""
        is_ordinal = len(words) > 1 and (words[-1] in self.table.ordinals or words[-1] in self.table.ordinal_endings)
        if self.day is None or not is_ordinal or words[0] not in self.table.articles:
            return None
        number = self._ordinal(words[1:])
        for by in range(3):
            year, month = self.day.year + (self.day.month - 1 + by) // 12, (self.day.month - 1 + by) % 12 + 1
            if number is not None and 1 <= number <= monthrange(year, month)[1]:
                day = date(year, month, number)
                if day >= self.day:
                    return day.isoformat()
        return None

    def _ordinal(self, words: Words) -> int | None:
        table = self.table
        if words and words[-1] in table.ordinals:
            tens = self._cardinal(words[:-1]) if len(words) > 1 else 0
            return None if tens is None or tens % 10 else tens + table.ordinals[words[-1]]
        if len(words) == 2 and words[0].isdecimal() and words[1] in table.ordinal_endings:
            return int(words[0])
        return self._cardinal(words)


def _ends(words: Words, end: Words) -> bool:
    """Whether the words end so, after at least one other."""
    return len(words) > len(end) and list(words[-len(end) :]) == list(end)


def _checked(hour: int, minute: int) -> tuple[int, int] | None:
    return (hour % 24, minute) if 0 <= hour <= 24 and 0 <= minute < 60 else None


def _shown(number: Fraction) -> str:
    return f"{Decimal(number.numerator) / number.denominator:f}"


def _iso_duration(seconds: Fraction) -> str:
    rest = int(seconds)
    if rest % 86400 == 0:
        days = rest // 86400
        return f"P{days // 7}W" if days % 7 == 0 else f"P{days}D"
    text = ""
    for letter, size in (("H", 3600), ("M", 60), ("S", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{letter}" if count else ""
    return f"PT{text}"
