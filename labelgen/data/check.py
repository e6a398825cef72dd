"""What a record must obey beyond the types of its fields: offsets, indices, overlap, finite numbers."""

import math
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import PureWindowsPath

from labelgen.data.dialogue import Feedback
from labelgen.data.form import (
    AnnotationForm,
    AtForm,
    OutcomeProbabilities,
    QualityForm,
    QualityProbabilities,
    Record,
    TargetForm,
)
from labelgen.data.quality import QUALITY_NAMES


@dataclass(frozen=True, slots=True)
class Fault:
    """field: the path of the field in the record. reason: starts with a stable word, by which faults are counted."""

    field: str
    reason: str


def faults(record: Record) -> Iterator[Fault]:
    """Everything that is wrong with a record, in the order of its fields. Empty for a good one."""
    if not record.id:
        yield Fault("id", "empty_id: a dialogue needs an id")
    lengths = [len(turn.request) for turn in record.turns]
    count = len(lengths)
    for k, turn in enumerate(record.turns):
        at = f"turns[{k}]"
        for name in ("time_s", "response_time_s", "asr_confidence", "nlu_confidence"):
            value = getattr(turn, name)
            if value is not None and not math.isfinite(value):
                yield Fault(f"{at}.{name}", f"not_finite: {value}")
        if turn.audio is not None and not _stays_within(turn.audio.path):
            yield Fault(f"{at}.audio.path", f"bad_path: {turn.audio.path!r} does not stay within the record's folder")
        for j, number in enumerate(turn.numbers):
            if not math.isfinite(number.value):
                yield Fault(f"{at}.numbers[{j}].value", f"not_finite: {number.value}")
        for j, slot in enumerate(turn.hypothesis.slots if turn.hypothesis else ()):
            yield from _span(f"{at}.hypothesis.slots[{j}]", k, slot.start, slot.end, lengths)
        yield from _feedback(at, turn.feedback, count)
    yield from _feedback("", record.feedback, count)
    for a, annotation in enumerate(record.annotations):
        yield from _annotation(f"annotations[{a}]", annotation, lengths)
    names = [(a.annotator, a.kind) for a in record.annotations]
    for a, pair in enumerate(names):
        if pair in names[:a]:
            yield Fault(f"annotations[{a}].annotator", f"doubled_annotator: {pair[0]} stands twice")
    for s, signal in enumerate(record.signals):
        for turn_index in (*signal.turns, *signal.evidence):
            yield from _turn(f"signals[{s}].turns", turn_index, count)
        yield from _probability(f"signals[{s}].strength", signal.strength)
    for t, target in enumerate(record.targets):
        yield from _target(f"targets[{t}]", target, lengths)


def _feedback(at: str, given: Sequence[Feedback], count: int) -> Iterator[Fault]:
    for j, feedback in enumerate(given):
        if feedback.about is not None:
            yield from _turn(f"{at}.feedback[{j}].about".lstrip("."), feedback.about, count)


def _target(field: str, target: TargetForm, lengths: list[int]) -> Iterator[Fault]:
    yield from _at(f"{field}.at", target.at, lengths)
    if (target.labels is None) == (target.not_ is None):
        yield Fault(field, "bad_target: give exactly one of labels and not")
    for n, label in enumerate(target.labels or ()):
        yield from _probability(f"{field}.labels[{n}].probability", label.probability)
    yield from _probability(f"{field}.weight", target.weight)
    if target.prior is not None and [n.name for n in target.prior] != [n.name for n in target.labels or ()]:
        yield Fault(f"{field}.prior", "bad_target: give a prior the names of labels, in their order")
    for n, label in enumerate(target.prior or ()):
        yield from _probability(f"{field}.prior[{n}].probability", label.probability)
        if label.probability == 0.0:
            yield Fault(f"{field}.prior[{n}].probability", "bad_target: what had no probability cannot gain any")


def _stays_within(path: str) -> bool:
    """Whether a relative path names something below the folder it starts from, by the rules of any system."""
    plain = path.replace("\\", "/")
    if not path or "\0" in path or plain.startswith("/") or PureWindowsPath(path).drive:
        return False
    inner = posixpath.normpath(plain)
    return inner not in (".", "..") and not inner.startswith("../")


def _annotation(at: str, annotation: AnnotationForm, lengths: list[int]) -> Iterator[Fault]:
    taken: dict[int, int] = {}
    for g, goal in enumerate(annotation.goals or ()):
        field = f"{at}.goals[{g}].turns"
        if not goal.turns or list(goal.turns) != sorted(set(goal.turns)):
            yield Fault(field, "bad_goal: the turns of a goal are ascending, each once, and at least one")
        for turn in goal.turns:
            yield from _turn(field, turn, len(lengths))
            if turn in taken and taken[turn] != g:
                yield Fault(field, f"goals_overlap: turn {turn} serves goals {taken[turn]} and {g}")
            taken[turn] = g
        if goal.outcome not in (None, "success", "failure", "unknown"):
            yield Fault(f"{at}.goals[{g}].outcome", f"bad_outcome: {goal.outcome!r} is not success, failure or unknown")
        yield from _probability(f"{at}.goals[{g}].probability", goal.probability)
        if goal.outcome_probabilities is not None:
            yield from _shares(f"{at}.goals[{g}].outcome_probabilities", goal.outcome_probabilities)
    if annotation.quality is not None:
        yield from _quality(f"{at}.quality", annotation.quality)
    seen: set[int] = set()
    for t, turn_form in enumerate(annotation.turns):
        field = f"{at}.turns[{t}]"
        yield from _turn(f"{field}.turn", turn_form.turn, len(lengths))
        if turn_form.turn in seen:
            yield Fault(f"{field}.turn", f"doubled_turn: turn {turn_form.turn} is annotated twice")
        seen.add(turn_form.turn)
        if turn_form.quality is not None:
            yield from _quality(f"{field}.quality", turn_form.quality)
        for i, intent in enumerate(turn_form.intents or ()):
            yield from _probability(f"{field}.intents[{i}].probability", intent.probability)
        if 0 <= turn_form.turn < len(lengths):
            for s, slot in enumerate(turn_form.slots or ()):
                yield from _span(f"{field}.slots[{s}]", turn_form.turn, slot.start, slot.end, lengths)
                yield from _probability(f"{field}.slots[{s}].probability", slot.probability)
    for n, label in enumerate(annotation.labels):
        yield from _at(f"{at}.labels[{n}].at", label.at, lengths)
        yield from _probability(f"{at}.labels[{n}].probability", label.probability)
        for k, share in enumerate(label.distribution or ()):
            yield from _probability(f"{at}.labels[{n}].distribution[{k}].probability", share.probability)
    for n, abstained in enumerate(annotation.abstained):
        place = AtForm(turn=abstained.turn, turns=abstained.turns)
        yield from _at(f"{at}.abstained[{n}]", place, lengths)
        for g, guess in enumerate(abstained.best):
            field = f"{at}.abstained[{n}].best[{g}]"
            guessed = AtForm(turn=abstained.turn, start=guess.start, end=guess.end, turns=guess.turns)
            yield from _at(field, guessed, lengths)
            yield from _probability(f"{field}.probability", guess.probability)


def _quality(field: str, quality: QualityForm) -> Iterator[Fault]:
    low, high = (1.0, 5.0) if quality.scale is None else sorted(quality.scale)
    if low == high:
        yield Fault(f"{field}.scale", "bad_scale: worst and best are equal")
    if not low <= quality.rating <= high:
        yield Fault(f"{field}.rating", f"bad_rating: {quality.rating} is not within {low:g}..{high:g}")
    if quality.name is not None and quality.name not in QUALITY_NAMES:
        yield Fault(f"{field}.name", f"bad_name: {quality.name!r} is none of {', '.join(QUALITY_NAMES)}")
    if quality.name is not None and quality.probabilities is None:
        yield Fault(f"{field}.name", "bad_name: a name without probabilities; the rating names the quality")
    if quality.probabilities is not None:
        yield from _shares(f"{field}.probabilities", quality.probabilities)


def _shares(field: str, shares: QualityProbabilities | OutcomeProbabilities) -> Iterator[Fault]:
    for share in fields(shares):
        yield from _probability(f"{field}.{share.name}", getattr(shares, share.name))


def _probability(field: str, value: float | None) -> Iterator[Fault]:
    if value is not None and not 0.0 <= value <= 1.0:
        yield Fault(field, f"bad_probability: {value} is not within 0..1")


def _turn(field: str, turn: int, count: int) -> Iterator[Fault]:
    if not 0 <= turn < count:
        yield Fault(field, f"no_such_turn: {turn}, the dialogue has {count} turns, counted from 0")


def _span(field: str, turn: int, start: int, end: int, lengths: list[int]) -> Iterator[Fault]:
    length = lengths[turn]
    if not 0 <= start < end:
        yield Fault(field, f"bad_span: [{start}, {end}) of turn {turn} is empty or negative")
    elif end > length:
        yield Fault(
            f"{field}.end", f"bad_span: the slot of turn {turn} ends at {end}, its request has {length} characters"
        )


def _at(field: str, at: AtForm, lengths: list[int]) -> Iterator[Fault]:
    if (at.start is None) != (at.end is None) or (at.start is not None and at.turn is None):
        yield Fault(field, "bad_span: a span needs turn, start and end")
    for turn in at.turns or ():
        yield from _turn(f"{field}.turns", turn, len(lengths))
    if at.turn is not None:
        before = list(_turn(f"{field}.turn", at.turn, len(lengths)))
        yield from before
        if not before and at.start is not None and at.end is not None:
            yield from _span(field, at.turn, at.start, at.end, lengths)
