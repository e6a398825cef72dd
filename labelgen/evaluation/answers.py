"""What a model said and whether it was right, answer by answer, as calibration judges it.

An answer is what is accepted or withheld as a whole: a field with all of its labels, or, of a division into goals, one goal.
It is right where the reference says the very same, so what was missed counts too. Only fields that both answer are judged;
what is said of a goal counts where the reference has that very goal."""

from collections.abc import Sequence
from dataclasses import dataclass

from labelgen.data.labels import Annotation, At, AtGoal, Label
from labelgen.evaluation.tasks import EvaluationTask, answered
from labelgen.metrics.sets import identity, same


@dataclass(frozen=True, slots=True)
class Answer:
    """place: the position of its dialogue. at: its field. labels: with the probabilities as the model gave them, empty
    where it said "none here", and then `none` is the probability of that. holds: of each label, whether it does. wanted: the reference's names."""

    place: int
    at: At
    labels: tuple[Label, ...]
    none: float | None
    right: bool
    holds: tuple[bool, ...]
    wanted: tuple[str, ...]


def answers_of(place: int, said: Annotation | None, reference: Annotation | None, task: EvaluationTask) -> list[Answer]:
    """All answers of one dialogue."""
    given, wanted = answered(said, task), answered(reference, task)
    none = {} if said is None else {x.at: x.probability for x in said.none if x.task in task.tasks}
    found = []
    for at, labels in given.items():
        if at not in wanted:
            continue
        true = {identity(label) for label in wanted[at]}
        names = tuple(label.name for label in wanted[at])
        holds = tuple(identity(label) in true for label in labels)
        if task.divides and labels:
            found += [Answer(place, at, (x,), None, h, (h,), names) for x, h in zip(labels, holds, strict=True)]
        else:
            found.append(Answer(place, at, labels, none.get(at), same(labels, wanted[at]), holds, names))
    return found


def rights(labels: Sequence[Label], wanted: Sequence[Label], divides: bool) -> tuple[int, int]:
    """(right, given) of one annotator's field, counted as the model's answers are."""
    if divides and labels:
        true = {identity(label) for label in wanted}
        return sum(identity(label) in true for label in labels), len(labels)
    return int(same(labels, wanted)), 1


def of_kept_goals(answers: Sequence[Answer], kept: frozenset[tuple[int, At]] | None) -> list[Answer]:
    """The answers without those about goals that are themselves withheld. kept: (place, goal), None for all."""
    return [x for x in answers if kept is None or not isinstance(x.at, AtGoal) or (x.place, x.at) in kept]
