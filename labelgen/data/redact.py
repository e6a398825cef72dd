"""E-mail addresses, phone numbers and payment cards in a dialogue's texts, masked by as many `#`, so that spans stay valid.

Found by form alone. What is written out in words, split over turns, or is a name, an address or an identifier is not found;
ids, users, paths of sound and the sound itself stay as they are (docs/labelling.md)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from labelgen.data.dialogue import Dialogue, Hypothesis, Turn
from labelgen.data.labels import Abstained, Annotation, AtSpan, Label
from labelgen.data.quarantine import Rejected

KINDS = "email phone card"

_EMAIL = re.compile(r"[\w.%+'-]+@[\w-]+(?:\.[\w-]+)+")
_CARD = re.compile(r"(?<![\d.])(?:\d[ -]?){12,18}\d(?!\d)")
_PHONE = re.compile(
    r"""(?<![\w.,:/#-])(?:
        \+\d(?:[ ().\-/]{0,2}\d){6,14}                              # +1 (707) 555-0123
      | \(?\d{2,5}\)?(?:[ .\-/]{1,2}\(?\d{2,8}\)?){1,4}             # 707-555-0123, 0171/2345678
      | \d{9,12}                                                    # 7075550123
    )(?!\w|[.,:/-]\d)""",
    re.VERBOSE,
)
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}|(?:19|20)\d\d[-/](?:19|20)\d\d")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans `[start, end)` in code points of what is to be masked, in no order; they may overlap."""
    for found in _EMAIL.finditer(text):
        yield found.span()
    for found in _CARD.finditer(text):
        if _luhn(_digits(found[0])):
            yield found.span()
    for found in _PHONE.finditer(text):
        if 7 <= len(_digits(found[0])) <= 15 and not _DATE.fullmatch(found[0]):
            yield found.span()


def mask(text: str) -> str:
    """The text with `#` for each character of what was found; as long as before, and masked again the same."""
    # What was beside something that is masked now may be found only then.
    while spans := list(find(text)):
        for start, end in spans:
            text = text[:start] + "#" * (end - start) + text[end:]
    return text


def redacted(dialogue: Dialogue) -> Dialogue:
    """The dialogue with all its texts masked: requests, responses, n-best lists, questions and their answers, values of slots and of
    categories, and what stands in `extra`. A slot whose span was masked loses its value too, in whatever form that is."""
    hidden = [list(find(turn.request)) for turn in dialogue.turns]
    return replace(
        dialogue,
        turns=tuple(_turn(turn) for turn in dialogue.turns),
        feedback=tuple(
            replace(own, question=_or_none(own.question), answer=_or_none(own.answer)) for own in dialogue.feedback
        ),
        annotations=tuple(_annotation(own, hidden) for own in dialogue.annotations),
        extra=_extra(dialogue.extra),
    )


def redacted_bad(item: Rejected) -> Rejected:
    """A rejected record with its raw text masked."""
    return replace(item, raw=_or_none(item.raw), reason=mask(item.reason))


def _turn(turn: Turn) -> Turn:
    hypothesis = turn.hypothesis
    if hypothesis is not None:
        spans = list(find(turn.request))
        slots = (replace(s, value=_value(s.value, s.start, s.end, spans)) for s in hypothesis.slots)
        hypothesis = Hypothesis(intents=hypothesis.intents, slots=tuple(slots))
    return replace(
        turn,
        request=mask(turn.request),
        response=mask(turn.response),
        hypothesis=hypothesis,
        nbest=tuple(replace(one, text=mask(one.text)) for one in turn.nbest),
        categories=tuple(replace(one, value=mask(one.value)) for one in turn.categories),
        feedback=tuple(
            replace(own, question=_or_none(own.question), answer=_or_none(own.answer)) for own in turn.feedback
        ),
        extra=_extra(turn.extra),
    )


def _annotation(annotation: Annotation, hidden: list[list[tuple[int, int]]]) -> Annotation:
    def label(own: Label) -> Label:
        if not isinstance(own.value, str):
            return own
        if isinstance(own.at, AtSpan):
            return replace(own, value=_value(own.value, own.at.start, own.at.end, hidden[own.at.turn]))
        return replace(own, value=mask(own.value))

    return replace(
        annotation,
        labels=tuple(label(own) for own in annotation.labels),
        abstained=tuple(Abstained(one.field, tuple(label(own) for own in one.best)) for one in annotation.abstained),
    )


def _value(value: str | None, start: int, end: int, spans: list[tuple[int, int]]) -> str | None:
    if value is not None and any(start < b and a < end for a, b in spans):
        return "#" * len(value)
    return _or_none(value)


def _or_none(text: str | None) -> str | None:
    return None if text is None else mask(text)


def _extra(text: str | None) -> str | None:
    """Fields that labelgen does not know, as JSON: the strings in it; what is no JSON is masked as text."""
    if text is None:
        return None
    try:
        held = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return mask(text)
    changed = _strings(held, mask)
    return text if changed == held else msgspec.json.encode(changed, order="sorted").decode()


def _strings(held: Any, change: Callable[[str], str]) -> Any:
    if isinstance(held, str):
        return change(held)
    if isinstance(held, list):
        return [_strings(one, change) for one in held]
    return {key: _strings(one, change) for key, one in held.items()} if isinstance(held, dict) else held


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c.isdecimal()]


def _luhn(digits: list[int]) -> bool:
    """Whether the last digit is the check digit of the others. Source: ISO/IEC 7812-1, annex B."""
    doubled = [d if k % 2 == 0 else d * 2 - 9 * (d > 4) for k, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0
