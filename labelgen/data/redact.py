"""Redaction of personal data: each of its characters in a dialogue's texts becomes `#`, so spans stay valid.

Patterns find e-mail addresses, phone numbers, payment cards, bank accounts (IBAN) and IP addresses. They do not find
names, postal addresses, identifiers, numbers in words, or data split over turns. Ids, users and audio stay unchanged
(docs/how-to/label.md).

Sources of the patterns: ITU-T E.123 and RFC 3966 (phone numbers), ISO/IEC 7812-1 (cards), ISO 13616 (IBAN), RFC 4291 (IPv6).
The tables of libphonenumber say which digits are a phone number of a country."""

import dataclasses
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import Category, Dialogue, Feedback, Number, Recognition, Signal, Step, Turn
from labelgen.data.labels import Abstained, Annotation, AtSpan, Label, Target
from labelgen.data.record import Rejected

KINDS = "email phone card iban ip"

_LOCAL = re.compile(r"[\w.%+'-]")
_DOMAIN = re.compile(r"(?:@|%40)[\w-]+(?:\.[\w-]+)+")
"""An e-mail address from its @ on; what stands before is looked for from there, so time is linear in the text."""
_CARD = re.compile(r"(?<!\d)(?<!\d\.)\d(?:[ ]?[-./]?[ ]?\d){12,18}(?!\d)")
_RUN = re.compile(
    r"(?<![A-Za-z0-9_#])(?<!\d[.:/-])[+(\[]{0,2}\d(?:[ ().\[\]\-/]{0,4}\d){5,19}"
    r"(?:(?=[xX]\d)|(?![A-Za-z0-9_]|[.:/-]\d))"
)
"""Candidate for a phone number: digits with the separators that people use."""
_PHONE = re.compile(
    r"""
    (?:\+|00)\d(?:[ ().\[\]\-/]{0,4}\d){6,14}                       # +1 (707) 555-0123
  | (?:\d{1,3}(?:[ .-]|(?=[(\[])))?[(\[]?\d{2,5}[)\]]?(?:(?:[ .\-/]{1,3}|(?<=[)\]]))[(\[]?\d{2,8}[)\]]?){1,4}(?:-\d)?
                                                                    # (707)555-0123, 0171/2345678, 0711 9837-0
  | \d(?:[ -]\d){6,14}                                              # 7 0 7 5 5 5 0 1 2 3
  | \d{9,12}                                                        # 7075550123
    """,
    re.VERBOSE,
)
_PART = re.compile(rf"(?<!\d)(?:{_PHONE.pattern})(?!\d)", re.VERBOSE)
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}|(?:19|20)\d\d[-/](?:19|20)\d\d|(?:19|20)\d\d(?:0\d|1[0-2])[0-3]\d"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IP = re.compile(r"(?<![\w.])[0-9A-Fa-f:.]{3,45}(?![\w:])")

_LENGTHS = (
    "15:NO 16:BE 18:DK,FI,FK,FO,GL,NL,SD 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,MN,XK 21:CH,HR,LI,LV 22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA "
    "23:AE,GI,IL,IQ,OM,SO,TL 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG 25:LY,PT,ST 26:IS,TR 27:BI,DJ,FR,GR,IT,MC,MR,SM "
    "28:AL,AZ,BY,CY,DO,GT,HN,HU,LB,NI,PL,SV 29:BR,EG,PS,QA,UA 30:JO,KW,YE 31:MT,SC 32:LC 33:RU"
)
_IBAN_LENGTHS = {
    country: int(length)
    for length, _, countries in (group.partition(":") for group in _LENGTHS.split())
    for country in countries.split(",")
}
"""Characters of an account number, by country (ISO 13616)."""

_ESCAPE = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|([nrtbf\"/]))")
_DASHES = dict.fromkeys(map(ord, "\u00ad\u058a\u2043\u207b\u208b\u2212\ufe58\ufe63\uff0d\u30fc"), "-")
_DOTS = dict.fromkeys(map(ord, "\u00b7\u2022\u2024\u2219\u22c5\u30fb\u3002\uff61"), ".")


Mask = Callable[[str], str]


def mask(text: str, locale: str | None = None) -> str:
    """Replace each character of personal data by `#`; the length stays, and masking twice changes nothing."""
    # A mask can reveal a match next to it.
    while spans := list(find_personal_data(text, locale)):
        characters = list(text)
        for start, end in spans:
            characters[start:end] = "#" * (end - start)
        text = "".join(characters)
    return text


def redact_dialogue(dialogue: Dialogue) -> Dialogue:
    """The dialogue with all its texts masked: requests, responses, n-best lists, questions, answers and texts of feedback, domain, status, device,
    names and values of categories and numbers, values of slots, names of labels and annotators, kinds of feedback, origins of targets, texts and numbers of steps,
    and keys and texts of what stands in `extra`. A slot whose span was masked loses its value too, in whatever form that is."""
    locale = dialogue.locale

    def hide(text: str) -> str:
        return mask(text, locale)

    hidden = [_masked(turn.request, hide) for turn in dialogue.turns]
    return replace(
        dialogue,
        device=_or_none(dialogue.device, hide),
        turns=tuple(_turn(turn, item, hide) for turn, item in zip(dialogue.turns, hidden, strict=True)),
        feedback=_hidden(dialogue.feedback, hide),
        annotations=tuple(_annotations(dialogue.annotations, hidden, hide)),
        signals=_hidden(dialogue.signals, hide),
        targets=tuple(_target(item, hide) for item in dialogue.targets),
        extra=_extra(dialogue.extra, hide),
    )


_TEXTS: Mapping[type, tuple[str, ...]] = {
    Turn: ("request", "response", "domain", "status"),
    Recognition: ("text",),
    Category: ("name", "value"),
    Number: ("name",),
    Feedback: ("kind", "question", "answer", "text"),
    Step: ("kind", "name", "error"),
    Signal: ("kind",),
}
"""Fields of the parts of a record that are plain texts."""
Part = TypeVar("Part", bound=msgspec.Struct)


def _hidden(parts: Iterable[Part], hide: Mask) -> tuple[Part, ...]:
    """The parts with their plain texts masked."""
    return tuple(
        replace(part, **{name: _or_none(getattr(part, name), hide) for name in _TEXTS[type(part)]}) for part in parts
    )


def redact_rejected(item: Rejected) -> Rejected:
    """A rejected record with its raw text masked."""
    return dataclasses.replace(
        item, raw=_or_none(item.raw, mask), reason=mask(item.reason), field=_or_none(item.field, mask)
    )


def _masked(text: str, hide: Mask) -> frozenset[int]:
    """Indices of the masked characters."""
    return frozenset(k for k, (a, b) in enumerate(zip(text, hide(text), strict=True)) if a != b)


def _turn(turn: Turn, hidden: frozenset[int], hide: Mask) -> Turn:
    hypothesis = turn.hypothesis
    if hypothesis is not None and hypothesis.slots is not None:
        slots = tuple(replace(s, value=_value(s.value, s.start, s.end, hidden, hide)) for s in hypothesis.slots)
        hypothesis = replace(hypothesis, slots=slots)
    (turn,) = _hidden([turn], hide)
    return replace(
        turn,
        hypothesis=hypothesis,
        nbest=_hidden(turn.nbest, hide),
        categories=_hidden(turn.categories, hide),
        numbers=_hidden(turn.numbers, hide),
        feedback=_hidden(turn.feedback, hide),
        steps=tuple(_step(step, hide) for step in _hidden(turn.steps, hide)),
        extra=_extra(turn.extra, hide),
    )


def _step(step: Step, hide: Mask) -> Step:
    arguments, result = (_extra(text, hide, numbers=True) for text in (step.arguments, step.result))
    return replace(step, arguments=arguments, result=result)


def _annotation(annotation: Annotation, hidden: list[frozenset[int]], hide: Mask) -> Annotation:
    def label(item: Label) -> Label:
        item = replace(item, name=hide(item.name))
        if not isinstance(item.value, str):
            return item
        if isinstance(item.at, AtSpan):
            return replace(item, value=_value(item.value, item.at.start, item.at.end, hidden[item.at.turn], hide))
        return replace(item, value=hide(item.value))

    return replace(
        annotation,
        annotator=hide(annotation.annotator),
        labels=tuple(label(item) for item in annotation.labels),
        abstained=tuple(Abstained(one.field, tuple(label(item) for item in one.best)) for one in annotation.abstained),
    )


def _annotations(annotations: Sequence[Annotation], hidden: list[frozenset[int]], hide: Mask) -> Iterator[Annotation]:
    """The annotations; names that are alike once they are masked are told apart by their length."""
    seen: set[tuple[str, str]] = set()
    for one in annotations:
        masked = _annotation(one, hidden, hide)
        name = masked.annotator
        while name != one.annotator and (name, one.kind) in seen:
            name += "#"
        seen.add((name, one.kind))
        yield replace(masked, annotator=name)


def _target(target: Target, hide: Mask) -> Target:
    names = target.distribution
    return replace(
        target,
        origin=hide(target.origin),
        distribution=None if names is None else tuple((hide(name), share) for name, share in names),
        complement=None if target.complement is None else tuple(map(hide, target.complement)),
    )


def _value(value: str | None, start: int, end: int, hidden: frozenset[int], hide: Mask) -> str | None:
    if value is not None and any(k in hidden for k in range(start, end)):
        return "#" * len(value)
    return _or_none(value, hide)


def _or_none(text: str | None, hide: Mask) -> str | None:
    return None if text is None else hide(text)


def _extra(text: str | None, hide: Mask, numbers: bool = False) -> str | None:
    """Mask the keys and texts of unknown fields in JSON; other text is masked as a whole. numbers: a number whose digits are
    personal data, such as a phone number, becomes a masked text."""
    if text is None:
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return hide(text)
    changed = _strings(value, hide, numbers)
    return text if changed == value else msgspec.json.encode(changed, order="sorted").decode()


def _strings(value: Any, hide: Mask, numbers: bool) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_strings(one, hide, numbers) for one in value]
    if numbers and type(value) in (int, float):
        digits = hide(str(value))
        return value if digits == str(value) else digits
    if not isinstance(value, dict):
        return value
    changed: dict[str, Any] = {}
    for key, one in value.items():
        name = hide(key)
        # Keys of one length may be alike once they are masked; none is to take another's place.
        while name in changed:
            name += "#"
        changed[name] = _strings(one, hide, numbers)
    return changed


def find_personal_data(text: str, locale: str | None = None) -> Iterator[tuple[int, int]]:
    """Spans `[start, end)` of personal data in code points, unsorted; they may overlap.

    locale: language and country of the text, such as `de-DE`; selects the forms of phone numbers."""
    if not any(c.isdecimal() for c in text) and not _may_hold_address(text):
        return
    plain, starts, ends = _plain(text)
    for start, end in (*_addresses(plain), *_accounts(plain), *_phones(plain, _country(locale))):
        yield starts[start], ends[end - 1]


def _may_hold_address(text: str) -> bool:
    return not text.isascii() or any(mark in text for mark in ("@", "\\", ":", "%40"))


def _plain(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """The text in the characters that the forms are written in, and where each of its characters begins and ends in the text. What is
    not seen is left out; `\\n` and `\\u0040` of raw JSON are one character."""
    if text.isascii() and "\\" not in text:
        return text, range(len(text)), range(1, len(text) + 1)
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    k, plain_to = 0, 0
    while k < len(text):
        escape = _ESCAPE.match(text, k) if text[k] == "\\" and k >= plain_to else None
        if text[k] == "\\" and escape is None and k >= plain_to:
            # No part of a run of backslashes begins an escape where the whole does not.
            plain_to = len(text) - len(text[k:].lstrip("\\")) if k + 1 < len(text) and text[k + 1] == "\\" else k + 1
        length = len(escape[0]) if escape else 1
        character = _of_escape(escape) if escape else text[k]
        for shown in _shown(character):
            out.append(shown)
            starts.append(k)
            ends.append(k + length)
        k += length
    return "".join(out), starts, ends


def _of_escape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else {"n": "\n", "/": "/"}.get(escape[2], " ")


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if ord(character) in _DASHES or category == "Pd":
        return "-"
    if ord(character) in _DOTS:
        return "."
    if category == "Zs":
        return " "
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf":
        return ""
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text or "%40" in text:
        behind = 0
        for match in _DOMAIN.finditer(text):
            start = match.start()
            while start > behind and _LOCAL.match(text, start - 1):
                start -= 1
            if start < match.start():
                behind = match.end()
                yield start, behind
    for match in _IP.finditer(text):
        whole = match[0] if match[0].endswith("::") else match[0].rstrip(".:")
        # Behind the last colon of an address of version 4 stands a port.
        for written in (whole, whole.rpartition(":")[0]):
            if _is_ip(written):
                yield match.start(), match.start() + len(written)
                break


def _is_ip(text: str) -> bool:
    """Whether it is an IP address; version 6 needs four digits, since `a::b` is a name in some programs."""
    try:
        return ipaddress.ip_address(text).version == 4 or sum(c != ":" for c in text) >= 4
    except ValueError:
        return False


def _accounts(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        if _luhn(_digits(match[0])):
            yield match.span()
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        places = [k for k, c in enumerate(match[0]) if c.isalnum()]
        if length and len(places) >= length:
            end = places[length - 1] + 1
            whole = end == len(match[0]) or not match[0][end].isalnum()
            if whole and _mod_97("".join(match[0][k] for k in places[:length])):
                yield match.start(), match.start() + end


def _phones(text: str, country: str | None) -> Iterator[tuple[int, int]]:
    for match in _RUN.finditer(text):
        run = match[0]
        if _DATE.fullmatch(run):
            continue
        if (7 <= len(_digits(run)) <= 15 and _PHONE.fullmatch(run)) or _is_valid(run, country):
            yield match.span()
        else:
            for part in _PART.finditer(run):
                if 7 <= len(_digits(part[0])) <= 15 and not _DATE.fullmatch(part[0]):
                    yield match.start() + part.start(), match.start() + part.end()


def _is_valid(run: str, country: str | None) -> bool:
    """Whether it is a valid phone number of the country; False without a country."""
    if country is None:
        return False
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(run, country))
    except phonenumbers.NumberParseException:
        return False


def _country(locale: str | None) -> str | None:
    """Country code of a locale: DE for `de-DE`, TW for `zh_Hant_TW`."""
    parts = [part for part in re.split(r"[-_.]", locale or "")[1:] if len(part) == 2]
    return parts[-1].upper() if parts else None


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c.isdecimal()]


def _luhn(digits: list[int]) -> bool:
    """Whether the last digit is the check digit of the others. Source: ISO/IEC 7812-1, annex B."""
    doubled = [d if k % 2 == 0 else d * 2 - 9 * (d > 4) for k, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _mod_97(account: str) -> bool:
    """Whether the check digits of an IBAN are right. Source: ISO/IEC 7064, MOD 97-10."""
    return int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1
