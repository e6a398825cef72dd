"""Redaction of personal data: each of its characters in a dialogue's texts becomes `#`, so spans stay valid.

Patterns find e-mail addresses, phone numbers, payment cards, bank accounts (IBAN) and IP addresses. They do not find
names, postal addresses, identifiers, numbers in words, or data split over turns. Ids, users, annotators, label names and
audio stay unchanged (docs/how-to/label.md).

Sources of the patterns: ITU-T E.123 and RFC 3966 (phone numbers), ISO/IEC 7812-1 (cards), ISO 13616 (IBAN), RFC 4291 (IPv6).
The tables of libphonenumber say which digits are a phone number of a country."""

import dataclasses
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback, Hypothesis, Turn
from labelgen.data.labels import Abstained, Annotation, AtSpan, Label
from labelgen.data.record import Rejected

KINDS = "email phone card iban ip"

_EMAIL = re.compile(r"[\w.%+'-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_CARD = re.compile(r"(?<!\d)(?<!\d\.)\d(?:[ ]?[-./]?[ ]?\d){12,18}(?!\d)")
_RUN = re.compile(
    r"(?<![A-Za-z0-9_#])(?<!\d[.:/-])[+(\[]{0,2}\d(?:[ ().\[\]\-/]{0,4}\d){5,19}"
    r"(?:(?=[xX]\d)|(?![A-Za-z0-9_]|[.:/-]\d))"
)
"""What may be a phone number: a run of digits with what people write between them."""
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

_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        one.split(":")
        for one in [
            "15:NO",
            "16:BE",
            "18:DK,FI,FK,FO,GL,NL,SD",
            "19:MK,SI",
            "20:AT,BA,EE,KZ,LT,LU,MN,XK",
            "21:CH,HR,LI,LV",
            "22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA",
            "23:AE,GI,IL,IQ,OM,SO,TL",
            "24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG",
            "25:LY,PT,ST",
            "26:IS,TR",
            "27:BI,DJ,FR,GR,IT,MC,MR,SM",
            "28:AL,AZ,BY,CY,DO,GT,HN,HU,LB,NI,PL,SV",
            "29:BR,EG,PS,QA,UA",
            "30:JO,KW,YE",
            "31:MT,SC",
            "32:LC",
            "33:RU",
        ]
    )
    for country in countries.split(",")
}
"""Characters of an account number, by country (ISO 13616)."""

_ESCAPE = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|([nrtbf\"/]))")
_DASHES = dict.fromkeys(map(ord, "\u00ad\u058a\u2043\u207b\u208b\u2212\ufe58\ufe63\uff0d\u30fc"), "-")
_DOTS = dict.fromkeys(map(ord, "\u00b7\u2022\u2024\u2219\u22c5\u30fb\u3002\uff61"), ".")


Mask = Callable[[str], str]


def mask(text: str, locale: str | None = None) -> str:
    """The text with `#` for each character of what was found; as long as before, and masked again the same."""
    # What was beside something that is masked now may be found only then.
    while spans := list(find(text, locale)):
        for start, end in spans:
            text = text[:start] + "#" * (end - start) + text[end:]
    return text


def redacted(dialogue: Dialogue) -> Dialogue:
    """The dialogue with all its texts masked: requests, responses, n-best lists, questions and their answers, domain, status, device,
    names and values of categories and numbers, values of slots, kinds of feedback, origins of targets, and keys and texts of what
    stands in `extra`. A slot whose span was masked loses its value too, in whatever form that is."""
    locale = dialogue.locale

    def hide(text: str) -> str:
        return mask(text, locale)

    hidden = [_masked(turn.request, hide) for turn in dialogue.turns]
    return replace(
        dialogue,
        device=_or_none(dialogue.device, hide),
        turns=tuple(_turn(turn, own, hide) for turn, own in zip(dialogue.turns, hidden, strict=True)),
        feedback=tuple(_feedback(own, hide) for own in dialogue.feedback),
        annotations=tuple(_annotation(own, hidden, hide) for own in dialogue.annotations),
        signals=tuple(replace(own, kind=hide(own.kind)) for own in dialogue.signals),
        targets=tuple(replace(own, origin=hide(own.origin)) for own in dialogue.targets),
        extra=_extra(dialogue.extra, hide),
    )


def redacted_bad(item: Rejected) -> Rejected:
    """A rejected record with its raw text masked."""
    return dataclasses.replace(
        item, raw=_or_none(item.raw, mask), reason=mask(item.reason), field=_or_none(item.field, mask)
    )


def _masked(text: str, hide: Mask) -> frozenset[int]:
    """Which characters are masked."""
    return frozenset(k for k, (a, b) in enumerate(zip(text, hide(text), strict=True)) if a != b)


def _turn(turn: Turn, hidden: frozenset[int], hide: Mask) -> Turn:
    hypothesis = turn.hypothesis
    if hypothesis is not None:
        slots = (replace(s, value=_value(s.value, s.start, s.end, hidden, hide)) for s in hypothesis.slots)
        hypothesis = Hypothesis(intents=hypothesis.intents, slots=tuple(slots))
    return replace(
        turn,
        request=hide(turn.request),
        response=hide(turn.response),
        domain=_or_none(turn.domain, hide),
        status=_or_none(turn.status, hide),
        hypothesis=hypothesis,
        nbest=tuple(replace(one, text=hide(one.text)) for one in turn.nbest),
        categories=tuple(replace(one, name=hide(one.name), value=hide(one.value)) for one in turn.categories),
        numbers=tuple(replace(one, name=hide(one.name)) for one in turn.numbers),
        feedback=tuple(_feedback(own, hide) for own in turn.feedback),
        extra=_extra(turn.extra, hide),
    )


def _feedback(feedback: Feedback, hide: Mask) -> Feedback:
    return replace(
        feedback,
        kind=hide(feedback.kind),
        question=_or_none(feedback.question, hide),
        answer=_or_none(feedback.answer, hide),
    )


def _annotation(annotation: Annotation, hidden: list[frozenset[int]], hide: Mask) -> Annotation:
    def label(own: Label) -> Label:
        if not isinstance(own.value, str):
            return own
        if isinstance(own.at, AtSpan):
            return replace(own, value=_value(own.value, own.at.start, own.at.end, hidden[own.at.turn], hide))
        return replace(own, value=hide(own.value))

    return replace(
        annotation,
        labels=tuple(label(own) for own in annotation.labels),
        abstained=tuple(Abstained(one.field, tuple(label(own) for own in one.best)) for one in annotation.abstained),
    )


def _value(value: str | None, start: int, end: int, hidden: frozenset[int], hide: Mask) -> str | None:
    if value is not None and any(k in hidden for k in range(start, end)):
        return "#" * len(value)
    return _or_none(value, hide)


def _or_none(text: str | None, hide: Mask) -> str | None:
    return None if text is None else hide(text)


def _extra(text: str | None, hide: Mask) -> str | None:
    """Fields that labelgen does not know, as JSON: the keys and texts in it; what is no JSON is masked as text."""
    if text is None:
        return None
    try:
        held = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return hide(text)
    changed = _strings(held, hide)
    return text if changed == held else msgspec.json.encode(changed, order="sorted").decode()


def _strings(held: Any, hide: Mask) -> Any:
    if isinstance(held, str):
        return hide(held)
    if isinstance(held, list):
        return [_strings(one, hide) for one in held]
    if not isinstance(held, dict):
        return held
    changed: dict[str, Any] = {}
    for key, one in held.items():
        name = hide(key)
        # Keys of one length may be alike once they are masked; none is to take another's place.
        while name in changed:
            name += "#"
        changed[name] = _strings(one, hide)
    return changed


def find(text: str, locale: str | None = None) -> Iterator[tuple[int, int]]:
    """Spans `[start, end)` in code points, in no order; they may overlap. locale: of the text, such as `de-DE`, which tells
    what the phone numbers of its country look like."""
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
    k = 0
    while k < len(text):
        escape = _ESCAPE.match(text, k) if text[k] == "\\" else None
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
        for found in _EMAIL.finditer(text):
            yield found.span()
    for found in _IP.finditer(text):
        whole = found[0] if found[0].endswith("::") else found[0].rstrip(".:")
        # Behind the last colon of an address of version 4 stands a port.
        for written in (whole, whole.rpartition(":")[0]):
            if _is_ip(written):
                yield found.start(), found.start() + len(written)
                break


def _is_ip(text: str) -> bool:
    """Of version 6 with four digits or more, since `a::b` is a name in some programs."""
    try:
        return ipaddress.ip_address(text).version == 4 or sum(c != ":" for c in text) >= 4
    except ValueError:
        return False


def _accounts(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text):
        if _luhn(_digits(found[0])):
            yield found.span()
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper(), 0)
        places = [k for k, c in enumerate(found[0]) if c.isalnum()]
        if length and len(places) >= length:
            end = places[length - 1] + 1
            whole = end == len(found[0]) or not found[0][end].isalnum()
            if whole and _mod_97("".join(found[0][k] for k in places[:length])):
                yield found.start(), found.start() + end


def _phones(text: str, country: str | None) -> Iterator[tuple[int, int]]:
    for found in _RUN.finditer(text):
        run = found[0]
        if _DATE.fullmatch(run):
            continue
        if (7 <= len(_digits(run)) <= 15 and _PHONE.fullmatch(run)) or _is_valid(run, country):
            yield found.span()
        else:
            for part in _PART.finditer(run):
                if 7 <= len(_digits(part[0])) <= 15 and not _DATE.fullmatch(part[0]):
                    yield found.start() + part.start(), found.start() + part.end()


def _is_valid(run: str, country: str | None) -> bool:
    """Whether the country has such a number. Without a country none is known that does not show by its form."""
    if country is None:
        return False
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(run, country))
    except phonenumbers.NumberParseException:
        return False


def _country(locale: str | None) -> str | None:
    """Of `de-DE` and `zh_Hant_TW`: DE, TW."""
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
