"""Personal data in a dialogue's texts (data/personal_data.py), masked by as many `#`, so that spans stay valid.

What is written out in words, split over turns, or is a name, an address or an identifier is not found; ids, users, annotators, names
of labels, paths of sound and the sound itself stay as they are (docs/how-to/label.md)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback, Hypothesis, Turn
from labelgen.data.labels import Abstained, Annotation, AtSpan, Label
from labelgen.data.personal_data import find
from labelgen.data.quarantine import Rejected

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
