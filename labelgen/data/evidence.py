"""Signals, which are evidence found in a log, and targets, which are what a model is trained towards."""

from dataclasses import dataclass

from labelgen.data.labels import Annotation, At, AtDialogue, AtGoal, AtSpan, AtTurn, Field, scope
from labelgen.data.quality import QualityName


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One piece of evidence that a detector found in one dialogue.

    turns: the turns whose service it speaks of, ascending; all of them for feedback on the whole dialogue.
    evidence: the turns where it was seen (a "thanks" at turn 3 speaks of turn 2); they are hidden from the model when
    the signal is a target. vote: `fair` is a rating in the middle of its scale. strength: 0..1, the detector's own
    certainty. explicit: the user was asked, or rated."""

    kind: str
    turns: tuple[int, ...]
    vote: QualityName
    strength: float = 1.0
    explicit: bool = False
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What a task is trained towards at one place.

    Exactly one of the two is given. distribution: names with their probabilities; for a task where several names may
    hold, each is a Bernoulli probability of its own, and for an exclusive task they sum to one. complement: names that
    do not all hold together ("not this"). An empty distribution says that no name holds.
    complete: a name (or a span) that is not mentioned is known not to hold, else it is unknown.
    prior: where the distribution is a posterior, what each of its names had before the evidence; such a target tells what the
    evidence says, and leaves it to the model how often each name holds. None: the distribution is to be learned as it stands.
    weight: 0..1, usually the posterior. origin: in words, where the target comes from."""

    task: str
    at: At
    distribution: tuple[tuple[str, float], ...] | None = None
    complement: tuple[str, ...] | None = None
    weight: float = 1.0
    origin: str = ""
    complete: bool = True
    prior: tuple[tuple[str, float], ...] | None = None


def targets_of(annotation: Annotation, weight: float = 1.0) -> tuple[Target, ...]:
    """An annotation as hard or soft targets, complete in every field that it answers and did not abstain from in part.

    Spans and goals are targets of their own; the field they stand in is closed by an empty target at its scope. Names
    at one place join one target."""
    origin = f"annotation by {annotation.annotator}"
    withheld = {abstained.field for abstained in annotation.abstained}
    places: dict[tuple[str, At], tuple[tuple[str, float], ...]] = {}
    closed: dict[Field, None] = dict.fromkeys(annotation.none)
    for label in annotation.labels:
        own = label.distribution or ((label.name, 1.0 if label.probability is None else label.probability),)
        key = (label.task, label.at)
        places[key] = (*places.get(key, ()), *own)
        field = scope(label)
        if field.at != label.at and field not in withheld:
            closed[field] = None
    named = tuple(Target(task, at, distribution, None, weight, origin) for (task, at), distribution in places.items())
    return named + tuple(Target(f.task, f.at, (), None, weight, origin) for f in closed)


def turns_of(at: At) -> tuple[int, ...] | None:
    """The turns that a place touches; None for the whole dialogue."""
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return (turn,)
        case AtGoal(turns):
            return turns
        case AtDialogue():
            return None
