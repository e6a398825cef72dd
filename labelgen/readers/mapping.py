"""The mapping of a table or of JSON to dialogues: which column or JSON path has what, and what each value means."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from labelgen.base.errors import UsageError
from labelgen.base.options import Range
from labelgen.data.dialogue import Feedback
from labelgen.data.json_text import decoded
from labelgen.readers.cells import MISSING, CellError, Clock, TimeUnit, cell_number, cell_text

Column = Annotated[str | None, "COLUMN"]
Columns = Annotated[tuple[str, ...], "COLUMN"]
Values = Annotated[tuple[str, ...], "VALUE"]

THUMBS, RATING, YES_NO = "thumbs", "rating", "yes_no"
TEXTS = ("regenerate", "edit", "edit_response")
"""Kinds of feedback whose cell may have a text instead of a yes."""
EVENTS = (*TEXTS, "retry", "copy", "barge_in", "stop", "disconnect")
COMMENT = "comment"
KINDS = (THUMBS, RATING, YES_NO, *EVENTS, COMMENT)
"""Kinds of feedback that a mapping names."""

_UP = "up thumbs_up thumbs-up thumbsup 👍 :+1: :thumbsup: positive like liked good great helpful upvote +1 1 1.0 true yes y"
_DOWN = "down thumbs_down thumbs-down thumbsdown 👎 :-1: :thumbsdown: negative dislike disliked bad poor unhelpful downvote -1 -1.0"
_YES = "yes y true 1 1.0 x ✓"
_NO = "no n false 0 0.0"
_NONE = ("", "none", "null", "nan", "n/a", "na", "-", "neutral")
_THUMB_SCALE = (1.0, 5.0)
_SKIN_TONES = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
"""Emoji modifiers and the selector of the colored form, which do not change what an emoji means."""
_MOST_EVENTS = 100


@dataclass(frozen=True, slots=True)
class JsonPath:
    """The way to a value in a row: `name`, `metadata.feedback[0].score`, `content[*].text`, `["a.b"].c`.

    A row with a column of that whole name has its value there. `[*]` stands for all entries of a list. Text of JSON in a
    cell is read on the way."""

    text: str
    steps: tuple[str | int, ...]

    @classmethod
    def of(cls, text: str) -> "JsonPath":
        """The steps of a path; text of another form is the name of a column."""
        steps: list[str | int] = []
        at = 0
        while match := _STEP.match(text, at):
            if match["name"] and bool(match["dot"]) != bool(at):
                break
            index = match["index"]
            steps.append(_Every(index) if index == _ALL else int(index) if index else match["name"] or match["quoted"])
            at = match.end()
        return cls(text, tuple(steps) if at == len(text) else (text,))

    def get(self, row: Mapping[str, Any]) -> Any:
        """The value, or MISSING."""
        if self.text in row:
            return row[self.text]
        return _walk(row, self.steps)


_ALL = "*"
_STEP = re.compile(r'(?P<dot>\.)?(?:(?P<name>[^.\[\]]+)|\[(?P<index>-?\d+|\*)\]|\["(?P<quoted>[^"]+)"\])')


class _Every(str):
    """The step to all entries of a list."""


def _walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    for k, step in enumerate(steps):
        value = decoded(value)
        if isinstance(step, _Every):
            if not isinstance(value, list):
                return MISSING
            each = [_walk(entry, steps[k + 1 :]) for entry in value]
            return [entry for entry in each if entry is not MISSING] or MISSING
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return MISSING
            value = value[step]
        elif not isinstance(value, dict) or step not in value:
            return MISSING
        else:
            value = value[step]
    return value


def entries_of(value: Any) -> list[Mapping[str, Any]] | None:
    """The entries of a list of objects, or of an object of lists of one length, as `datasets` writes such lists; else None."""
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            return None
        return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return value
    return None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the values of a column of feedback mean.

    kind: one of KINDS. scale: (worst, best) of a rating. good, bad: values that stand for yes and no, in lower case. none:
    values that stand for no feedback. of: `turn` of the row, the turn before (`previous`), or the `dialogue`."""

    kind: str
    scale: tuple[float, float] = _THUMB_SCALE
    good: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()
    none: frozenset[str] = frozenset(_NONE)
    of: str = "turn"

    @classmethod
    def of_text(cls, column: str, text: str) -> "Meaning":
        """From `KIND [WORST..BEST] [good=VALUE,...] [bad=VALUE,...] [none=VALUE,...] [of dialogue|previous]`.

        Raises UsageError for other text."""
        kind, _, rest = " ".join(text.split()).partition(" ")
        where, scale = f"feedback of {column!r}", None
        if kind not in KINDS:
            raise UsageError(f"{kind!r} is no kind of feedback", where, f"known: {', '.join(KINDS)}")
        good, bad = ("", "") if kind in (RATING, COMMENT) else (_UP, _DOWN) if kind == THUMBS else (_YES, _NO)
        values = {"good": ",".join(good.split()), "bad": ",".join(bad.split()), "none": ""}
        of, current = "turn", None
        for word in _WORDS.findall(rest):
            name, equals, listed = word.partition("=")
            if equals and name in values and (good or name == "none"):
                current, values[name] = name, listed
            elif word in ("of turn", "of previous", "of dialogue"):
                of, current = word.removeprefix("of "), None
            elif kind == RATING and (limits := _LIMITS.fullmatch(word)):
                scale = float(limits[1]), float(limits[2])
            elif current is not None and (not equals or '"' in name):
                values[current] += f" {word}"
            else:
                raise UsageError(f"{word!r} says nothing about {kind}", where, _MEANING)
        if kind == RATING and (scale is None or scale[0] == scale[1]):
            raise UsageError(
                f"the scale of the rating {column!r} is not stated", where, "write 'rating WORST..BEST', as in 1..5"
            )
        sets = {name: frozenset(map(plain_word, values_of(listed))) for name, listed in values.items()}
        none = (frozenset(_NONE) | sets["none"]) - sets["good"] - sets["bad"]
        # What the user names as no feedback is none of the usual words for yes and no.
        return cls(kind, scale or _THUMB_SCALE, sets["good"] - sets["none"], sets["bad"] - sets["none"], none, of)

    def read(self, column: str, value: Any, number: Callable[[str, Any], float]) -> list[Feedback]:
        """The feedback in a cell. Raises CellError for a value without a meaning."""
        if isinstance(value, list):
            return [one for entry in value for one in self.read(column, entry, number)]
        text = ("true" if value else "false") if isinstance(value, bool) else str(value).strip()
        word = plain_word(text)
        if value is None or word in self.none:
            return []
        if self.kind == RATING:
            try:
                rating = number(column, value)
            except CellError as bad:
                raise CellError(
                    column, str(bad), bad.hint or f"if it is no rating, add none={quoted(word)} to {column}"
                ) from bad
            if not min(self.scale) <= rating <= max(self.scale):
                low, high = self.scale
                raise CellError(
                    column,
                    f"bad_rating: {text} is outside of its scale {low:g}..{high:g}",
                    f"state the scale of {column}, as in 'rating 1..10'",
                )
            return [Feedback(kind=RATING, rating=rating, scale=self.scale)]
        if self.kind == COMMENT:
            return [Feedback(kind=COMMENT, text=str(value))]
        yes = True if word in self.good else False if word in self.bad else None
        if self.kind == THUMBS and yes is not None:
            return [Feedback(kind=RATING, rating=_THUMB_SCALE[yes], scale=_THUMB_SCALE)]
        if self.kind == YES_NO and yes is not None:
            return [Feedback(kind="answer", answer="yes" if yes else "no")]
        if self.kind in EVENTS:
            if yes is not None:
                return [Feedback(kind=self.kind)] if yes else []
            if re.fullmatch(r"\d{1,3}(?:\.0)?", text) and (count := int(float(text))) <= _MOST_EVENTS:
                return [Feedback(kind=self.kind)] * count
            if self.kind in TEXTS:
                return [Feedback(kind=self.kind, text=str(value))]
        raise CellError(
            column,
            f"bad_feedback: what {text[:40]!r} means is not known",
            f"add it to good=, bad= or none= of {column}, as in '{self.kind} none={quoted(word)}'",
        )


def plain_word(text: str) -> str:
    """A value of feedback as it is compared: without case, and an emoji without its skin tone."""
    return _SKIN_TONES.sub("", text.strip()).casefold()


def note_value(values: dict[str, dict[str, Any]], name: str, value: Any) -> None:
    """Remember a value of feedback whose meaning is not stated, by its plain word."""
    seen = values.setdefault(name, {})
    if value is not None and len(seen) < _MOST_VALUES:
        seen.setdefault(plain_word(str(value)), value)


_MOST_VALUES = 50


def quoted(word: str) -> str:
    """A value as it is written in a meaning."""
    return f'"{word[:40]}"' if "," in word or "=" in word else word[:40]


_WORDS = re.compile(r'of (?:turn|previous|dialogue)(?!\S)|(?:[^\s"]|"[^"]*")+')
_VALUE = re.compile(r'(?:[^",]|"[^"]*")+')
"""One of several values, in double quotes if it has a comma."""
_LIMITS = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)")
_MEANING = "write KIND [WORST..BEST] [good=VALUE,...] [bad=VALUE,...] [none=VALUE,...] [of dialogue|previous]"


def plain_role(word: str) -> str:
    """The word for a speaker as it is compared."""
    return re.sub(r"[\s_-]+", "", word.casefold())


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Rows by the value of a column. kept: whether those that match are the ones that count."""

    path: JsonPath
    values: frozenset[str]
    pattern: re.Pattern[str] | None
    kept: bool

    @classmethod
    def of(cls, column: str, text: str, kept: bool) -> "RowFilter":
        """From `VALUE,...` or `/PATTERN/`. Raises UsageError for a pattern that is none."""
        if len(text) > 1 and text[0] == text[-1] == "/":
            try:
                return cls(JsonPath.of(column), frozenset(), re.compile(text[1:-1]), kept)
            except re.error as error:
                what = f"{text} is no pattern: {error}"
                raise UsageError(what, f"rows by {column!r}", "write a regular expression as Python has it") from error
        return cls(JsonPath.of(column), frozenset(map(plain_word, values_of(text))), None, kept)

    def leaves_out(self, cells: Mapping[str, Any]) -> bool:
        """Whether a row does not count."""
        value = self.path.get(cells)
        if value is MISSING and self.kept is False:
            return False
        text = cell_text(value) or ""
        found = plain_word(text) in self.values if self.pattern is None else self.pattern.search(text) is not None
        return found != self.kept


def values_of(text: str) -> list[str]:
    """The values of a list with commas; one with a comma is in double quotes."""
    return [one.strip().strip('"') for one in _VALUE.findall(text)]


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Columns of a table, or paths of JSON, and what they mean. A row is an utterance (speaker, text) or a turn (request, response).

    With `turns` a row is a whole dialogue, and its turns or utterances are in that list. Paths of dialogue, user, device,
    locale, start and of feedback of the dialogue then begin at the row, all others at an entry of the list."""

    dialogue: Column = None
    """column of the dialogue's id; rows of one dialogue may stand apart, also over files"""
    turns: Column = None
    """JSON path of a list of utterances or turns, where a record is a whole dialogue"""
    speaker: Column = None
    """column of who speaks, where a row is an utterance"""
    text: Column = None
    """column of the utterance"""
    request: Column = None
    """column of the user's request, where a row is a turn"""
    response: Column = None
    """column of the assistant's response"""
    is_user: Values = (
        *("user", "customer", "caller", "human", "client", "end user", "requester", "visitor", "guest", "contact"),
        *("lead", "u", "c"),
    )
    """speaker that is the user; upper and lower case, blanks, _ and - are equal"""
    is_assistant: Values = (
        *("assistant", "agent", "bot", "chatbot", "wizard", "model", "ai", "gpt", "virtual agent", "human agent"),
        *("automated agent", "admin", "operator", "support", "representative", "advisor", "team", "a", "s"),
    )
    """speaker that is the assistant; `system` is the assistant only in a log without one of these"""
    is_neither: Values = ("developer", "tool", "function")
    """speaker whose utterances are left out and counted"""
    time: Column = None
    """column of the time of an utterance or request, which orders the rows of a dialogue: seconds, ISO 8601, or seconds to
    nanoseconds since 1970"""
    response_time: Column = None
    """column of the time of the response, where a row is a turn"""
    session_gap: Annotated[float | None, Range(0, least_out=True)] = None
    """seconds of silence after which the rows of one id are another dialogue, such as 1800, where the id is that of a user"""
    session_start: Annotated[Mapping[str, str], "VALUES"] = field(default_factory=dict)
    """column whose rows with one of these values (VALUE,... or /PATTERN/) begin another dialogue of their id, such as an event"""
    order: Column = None
    """column of a number that orders the rows of a dialogue, in place of their times"""
    time_unit: TimeUnit = "auto"
    """unit of times that are numbers; auto recognizes times since 1970, and takes others as seconds"""
    time_format: Annotated[tuple[str, ...], "FORMAT"] = ()
    """format of times that are not ISO 8601, such as %d.%m.%Y %H:%M:%S (Python's strptime); the first that fits counts"""
    zone: Annotated[str | None, "ZONE"] = None
    """time zone of times that name none, such as Europe/Berlin"""
    user: Column = None
    """column of the user's id; splits keep the dialogues of a user together"""
    device: Column = None
    """column of the device"""
    locale: Column = None
    """column of the language and country, such as en-US"""
    default_locale: Annotated[str | None, "LOCALE"] = None
    """locale of dialogues without one, such as de-DE"""
    start: Column = None
    """column of the start of the dialogue; without it the first time, where that is a date"""
    domain: Column = None
    """column of the domain of a turn"""
    status: Column = None
    """column of the assistant's status of a turn, such as answered"""
    asr_confidence: Column = None
    """column of the confidence of speech recognition"""
    nlu_confidence: Column = None
    """column of the confidence of language understanding"""
    confidence_scale: Annotated[float, Range(0, least_out=True)] = 1.0
    """number that full confidence has, such as 100"""
    intent: Column = None
    """column of the intent that the assistant understood"""
    slots: Column = None
    """column of what it understood as slots: JSON with a value for each name, or a list of name, start, end and value"""
    audio: Column = None
    """column of the path of the request's sound, relative to the folder of the output"""
    audio_start: Column = None
    """column of the second at which the request begins in its sound"""
    audio_end: Column = None
    """column of the second at which it ends"""
    categories: Columns = ()
    """column of another categorical input of the model"""
    numbers: Columns = ()
    """column of another numerical input of the model"""
    feedback: Annotated[Mapping[str, str], "MEANING"] = field(default_factory=dict)
    """column of user feedback and its meaning: thumbs, 'rating 1..5', yes_no, regenerate, retry, edit, edit_response, copy,
    barge_in, stop, disconnect or comment; with good=VALUE,... bad=VALUE,... none=VALUE,... where values are unusual (in double quotes
    if they have a comma), and 'of dialogue' or 'of previous' where they are not about the turn of the row"""
    keep: Annotated[Mapping[str, str], "VALUES"] = field(default_factory=dict)
    """column whose rows are utterances or turns only with one of these values: VALUE,... or /PATTERN/"""
    drop: Annotated[Mapping[str, str], "VALUES"] = field(default_factory=dict)
    """column whose rows with one of these values are none, such as internal notes; what they say of the whole dialogue counts"""
    decimal: Literal[".", ","] = "."
    """decimal sign of numbers"""
    unmapped: Literal["keep", "drop"] = "keep"
    """what happens to other columns; those that are kept are in `extra` of the turn or dialogue"""
    form: Literal["auto", "csv", "excel", "json", "jsonl", "parquet"] = "auto"
    """form of the files; auto goes by their names"""
    delimiter: Annotated[str | None, "CHARACTER"] = None
    """delimiter of cells, tab for a tabulator; that of the first rows without a value"""
    quotes: bool = True
    """double quotes around cells; false for text in which a quote is a character like others"""
    encoding: Annotated[str | None, "ENCODING"] = None
    """encoding of text, such as cp1252; UTF-8, or what a byte order mark says, without a value"""
    sheet: Annotated[str | None, "NAME"] = None
    """sheet of an Excel file; the first without a value"""
    records: Column = None
    """JSON path of the list of records in a JSON file; the file is the list without a value"""
    split: Annotated[str | None, "NAME"] = None
    """split of a dataset; all of them without a value"""

    def check(self) -> None:
        """Raises UsageError where the mapping does not say what a row is, or contradicts itself."""
        _ = self.meanings, self.tzinfo, self.filters, self.starts
        by_utterance = self.speaker is not None or self.text is not None
        by_turn = self.request is not None or self.response is not None
        where = "mapping"
        if by_utterance == by_turn or (self.speaker is None) != (self.text is None):
            raise UsageError(
                "the mapping does not say what a row is",
                where,
                "give speaker and text where a row is an utterance, or request and response where it is a turn; "
                "labelgen init shows the columns",
            )
        if by_utterance and self.dialogue is None and self.turns is None:
            raise UsageError(
                "the mapping does not say which dialogue a row belongs to", where, "give dialogue, the column of its id"
            )
        if self.request is not None and self.request == self.response:
            raise UsageError(f"request and response are one column, {self.request!r}", where, "name the two columns")
        for form in self.time_format:
            _check_format(form)
        if by_utterance and self.response_time is not None:
            raise UsageError("response_time is for rows that are turns", where, "give time, that of each utterance")
        both = sorted(set(map(plain_role, self.is_user)) & set(map(plain_role, self.is_assistant)))
        if both:
            raise UsageError(f"{both[0]!r} is the user and the assistant", "is_user", "name it in one of the two")
        if self.delimiter is not None and len(self.delimiter) != 1 and self.delimiter != "tab":
            raise UsageError(f"the delimiter {self.delimiter!r} is not one character", "delimiter", "give one, or tab")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError as error:
                hint = "give a name that Python knows, such as utf-8, cp1252, latin-1 or utf-16"
                raise UsageError(f"no encoding is called {self.encoding!r}", "encoding", hint) from error

    @property
    def by_utterance(self) -> bool:
        """Whether a row is an utterance, else it is a turn."""
        return self.speaker is not None

    def entries(self, row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """The row itself, or the entries of its list of turns; None where that is no list of objects."""
        return [row] if self.turns is None else entries_of(self.paths["turns"].get(row))

    @cached_property
    def paths(self) -> Mapping[str, JsonPath]:
        """The path of each field that names one column."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return {name: JsonPath.of(text) for name, text in columns.items() if text is not None}

    @cached_property
    def list_paths(self) -> Mapping[str, tuple[JsonPath, ...]]:
        """The paths of `categories` and `numbers`."""
        return {name: tuple(map(JsonPath.of, getattr(self, name))) for name in ("categories", "numbers")}

    @cached_property
    def meanings(self) -> Mapping[str, Meaning]:
        """The meaning of each column of feedback."""
        return {column: Meaning.of_text(column, text) for column, text in self.feedback.items()}

    @cached_property
    def tzinfo(self) -> tzinfo | None:
        """The zone of times that name none."""
        try:
            return None if self.zone is None else ZoneInfo(self.zone)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"no time zone is called {self.zone!r}", "zone", "give a name such as Europe/Berlin or UTC"
            ) from error

    @cached_property
    def filters(self) -> tuple["RowFilter", ...]:
        """Which rows are left out."""
        keep = (RowFilter.of(column, values, True) for column, values in self.keep.items())
        return (*keep, *(RowFilter.of(column, values, False) for column, values in self.drop.items()))

    @cached_property
    def starts(self) -> tuple["RowFilter", ...]:
        """Which rows begin another dialogue."""
        return tuple(RowFilter.of(column, values, False) for column, values in self.session_start.items())

    def leaves_out(self, cells: Mapping[str, Any]) -> str | None:
        """The column whose value leaves a row out; None for a row that counts."""
        return next((one.path.text for one in self.filters if one.leaves_out(cells)), None)

    @cached_property
    def all_paths(self) -> Mapping[str, tuple[bool, JsonPath]]:
        """Field or column -> whether its path begins at the record where `turns` names its list, and the path."""
        single = {name: (name in RECORD_FIELDS, path) for name, path in self.paths.items() if name != "turns"}
        lists = {path.text: (False, path) for paths in self.list_paths.values() for path in paths}
        feedback = {c: (self.meanings[c].of == "dialogue", JsonPath.of(c)) for c in self.feedback}
        entries = single | lists | feedback
        of_record = {name: place for name, place in entries.items() if place[0]}
        turns = {"turns": (True, self.paths["turns"])} if self.turns is not None else {}
        filters = {f"{FILTER}{one.path.text}": (False, one.path) for one in (*self.filters, *self.starts)}
        return of_record | turns | entries | filters

    @cached_property
    def clock(self) -> Clock:
        """Reads its times."""
        return Clock(self.time_unit, self.time_format, self.tzinfo, self.decimal)

    def number(self, column: str, value: Any) -> float:
        """A cell as a number. Raises CellError for another value."""
        return cell_number(column, value, self.decimal)


def _check_format(form: str) -> None:
    """Raises UsageError for a format of times that no text can have."""
    hint = "write it as Python's strptime does, such as %d.%m.%Y %H:%M:%S"
    if "%" not in form:
        raise UsageError(f"the format {form!r} names no part of a time", "time_format", hint)
    try:
        datetime.strptime("", form)
    except ValueError as error:
        if "does not match" not in str(error):
            raise UsageError(f"no time has the format {form!r}: {error}", "time_format", hint) from error


COLUMNS = (
    "dialogue", "turns", "speaker", "text", "request", "response", "time", "response_time", "order", "user", "device", "locale",
    "start", "domain", "status", "asr_confidence", "nlu_confidence", "intent", "slots", "audio", "audio_start", "audio_end",
)  # fmt: skip
"""Fields of a mapping that name one column."""
FILTER = "rows by "
"""Begins the names of paths that only filter rows."""
RECORD_FIELDS = ("dialogue", "user", "device", "locale", "start")
"""Fields that are about a dialogue."""
