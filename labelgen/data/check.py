"""Rules of a record beyond the types of its fields: offsets, indices, overlap, finite numbers."""

import math
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath

from labelgen.data.dialogue import Feedback, Turn
from labelgen.data.groups import (
    AnnotationForm,
    GoalForm,
    OutcomeProbabilities,
    PlaceForm,
    QualityForm,
    QualityProbabilities,
    Record,
    TargetForm,
    TurnForm,
)
from labelgen.data.labels import QUALITY_NAMES


@dataclass(frozen=True, slots=True)
class Fault:
    """field: the path of the field in the record. reason: starts with a stable word, by which faults are counted."""

    field: str
    reason: str


def faults(record: Record) -> Iterator[Fault]:
    """Every fault of a record, in the order of its fields; none for a valid one."""
    if not record.id:
        yield Fault("id", "empty_id: a dialogue needs an id")
    lengths = [len(turn.request) for turn in record.turns]
    for k, turn in enumerate(record.turns):
        yield from _turn(f"turns[{k}]", k, turn, lengths)
    yield from _feedback("", record.feedback, len(lengths))
    names: list[tuple[str, str]] = []
    for a, annotation in enumerate(record.annotations):
        yield from _annotation(f"annotations[{a}]", annotation, lengths)
        names.append((annotation.annotator, annotation.kind))
    for a, pair in enumerate(names):
        if pair in names[:a]:
            yield Fault(f"annotations[{a}].annotator", f"doubled_annotator: {pair[0]} stands twice")
    for s, signal in enumerate(record.signals):
        yield from _indices(f"signals[{s}].turns", (*signal.turns, *signal.evidence), len(lengths))
        yield from _probability(f"signals[{s}].strength", signal.strength)
    for t, target in enumerate(record.targets):
        yield from _target(f"targets[{t}]", target, lengths)


def _turn(at: str, index: int, turn: Turn, lengths: list[int]) -> Iterator[Fault]:
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
        yield from _span(f"{at}.hypothesis.slots[{j}]", index, slot.start, slot.end, lengths)
    yield from _feedback(f"{at}.", turn.feedback, len(lengths))


def _feedback(prefix: str, given: Sequence[Feedback], count: int) -> Iterator[Fault]:
    for j, feedback in enumerate(given):
        if feedback.about is not None:
            yield from _indices(f"{prefix}feedback[{j}].about", (feedback.about,), count)


def _stays_within(path: str) -> bool:
    """Whether a relative path names something below its start, by the rules of any system."""
    plain = path.replace("\\", "/")
    if not path or "\0" in path or plain.startswith("/") or PureWindowsPath(path).drive:
        return False
    inner = posixpath.normpath(plain)
    return inner not in (".", "..") and not inner.startswith("../")


def _annotation(at: str, annotation: AnnotationForm, lengths: list[int]) -> Iterator[Fault]:
    yield from _goals(f"{at}.goals", annotation.goals or (), len(lengths))
    if annotation.quality is not None:
        yield from _quality(f"{at}.quality", annotation.quality)
    yield from _turns(f"{at}.turns", annotation.turns, lengths)
    for n, label in enumerate(annotation.labels):
        field = f"{at}.labels[{n}]"
        yield from _place(f"{field}.at", label.at, lengths)
        yield from _probability(f"{field}.probability", label.probability)
        for k, share in enumerate(label.distribution or ()):
            yield from _probability(f"{field}.distribution[{k}].probability", share.probability)
    for n, abstained in enumerate(annotation.abstained):
        field = f"{at}.abstained[{n}]"
        yield from _place(field, PlaceForm(turn=abstained.turn, turns=abstained.turns), lengths)
        for g, guess in enumerate(abstained.best):
            place = PlaceForm(turn=abstained.turn, start=guess.start, end=guess.end, turns=guess.turns)
            yield from _place(f"{field}.best[{g}]", place, lengths)
            yield from _probability(f"{field}.best[{g}].probability", guess.probability)


def _goals(at: str, goals: Sequence[GoalForm], count: int) -> Iterator[Fault]:
    goal_of: dict[int, int] = {}
    for g, goal in enumerate(goals):
        field = f"{at}[{g}]"
        if not goal.turns or list(goal.turns) != sorted(set(goal.turns)):
            yield Fault(f"{field}.turns", "bad_goal: the turns of a goal are ascending, each once, and at least one")
        for turn in goal.turns:
            if not 0 <= turn < count:
                yield _no_such_turn(f"{field}.turns", turn, count)
            if goal_of.setdefault(turn, g) != g:
                yield Fault(f"{field}.turns", f"goals_overlap: turn {turn} serves goals {goal_of[turn]} and {g}")
        if goal.outcome not in (None, "success", "failure", "unknown"):
            yield Fault(f"{field}.outcome", f"bad_outcome: {goal.outcome!r} is not success, failure or unknown")
        yield from _probability(f"{field}.probability", goal.probability)
        if goal.outcome_probabilities is not None:
            yield from _shares(f"{field}.outcome_probabilities", goal.outcome_probabilities)


def _turns(at: str, turns: Sequence[TurnForm], lengths: list[int]) -> Iterator[Fault]:
    seen: set[int] = set()
    for t, form in enumerate(turns):
        turn = form.turn
        is_turn = 0 <= turn < len(lengths)
        if not is_turn:
            yield _no_such_turn(f"{at}[{t}].turn", turn, len(lengths))
        if turn in seen:
            yield Fault(f"{at}[{t}].turn", f"doubled_turn: turn {turn} is annotated twice")
        seen.add(turn)
        if form.quality is not None:
            yield from _quality(f"{at}[{t}].quality", form.quality)
        for i, intent in enumerate(form.intents or ()):
            if intent.probability is not None:
                yield from _probability(f"{at}[{t}].intents[{i}].probability", intent.probability)
        for s, slot in enumerate((form.slots or ()) if is_turn else ()):
            if not 0 <= slot.start < slot.end <= lengths[turn]:
                yield from _span(f"{at}[{t}].slots[{s}]", turn, slot.start, slot.end, lengths)
            if slot.probability is not None:
                yield from _probability(f"{at}[{t}].slots[{s}].probability", slot.probability)


def _target(field: str, target: TargetForm, lengths: list[int]) -> Iterator[Fault]:
    yield from _place(f"{field}.at", target.at, lengths)
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
    for name in shares.__struct_fields__:
        yield from _probability(f"{field}.{name}", getattr(shares, name))


def _probability(field: str, value: float | None) -> Iterator[Fault]:
    if value is not None and not 0.0 <= value <= 1.0:
        yield Fault(field, f"bad_probability: {value} is not within 0..1")


def _indices(field: str, turns: Iterable[int], count: int) -> Iterator[Fault]:
    for turn in turns:
        if not 0 <= turn < count:
            yield _no_such_turn(field, turn, count)


def _no_such_turn(field: str, turn: int, count: int) -> Fault:
    return Fault(field, f"no_such_turn: {turn}, the dialogue has {count} turns, counted from 0")


def _span(field: str, turn: int, start: int, end: int, lengths: list[int]) -> Iterator[Fault]:
    if not 0 <= start < end:
        yield Fault(field, f"bad_span: [{start}, {end}) of turn {turn} is empty or negative")
    elif end > lengths[turn]:
        reason = f"bad_span: the slot of turn {turn} ends at {end}, its request has {lengths[turn]} characters"
        yield Fault(f"{field}.end", reason)


def _place(field: str, at: PlaceForm, lengths: list[int]) -> Iterator[Fault]:
    if (at.start is None) != (at.end is None) or (at.start is not None and at.turn is None):
        yield Fault(field, "bad_span: a span needs turn, start and end")
    yield from _indices(f"{field}.turns", at.turns or (), len(lengths))
    if at.turn is None:
        return
    if not 0 <= at.turn < len(lengths):
        yield _no_such_turn(f"{field}.turn", at.turn, len(lengths))
    elif at.start is not None and at.end is not None:
        yield from _span(field, at.turn, at.start, at.end, lengths)
