"""How often a label holds in a log: prediction-powered inference (PPI++) from few annotations by people and a model's on all dialogues."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelgen.base.files import short_digest
from labelgen.base.registry import require
from labelgen.confidence.prediction_powered import Sums, people_alone, prediction_powered
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label, division
from labelgen.data.split import user_key
from labelgen.evaluation.prepare import trained_on
from labelgen.evaluation.slices import PROBABILITY, Value, known_fields, names_of, value_of
from labelgen.metrics.scores import probability_of
from labelgen.review.sampling import doubt_strategy
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns

ALL = "all"
"""The name of the slice of all dialogues."""

Counts = tuple[float, float]
"""Of one dialogue: answers with the label, and answers."""


@dataclass(frozen=True, slots=True)
class CountedDialogue:
    """What a dialogue adds to a rate. model, people: what each says of it, None where people said nothing that counts. user: its digest. values: of the fields
    that the log is sliced by. divided: people left an answer open. difficult: it was drawn because it is."""

    user: int
    model: Counts
    people: Counts | None
    values: tuple[Value, ...]
    divided: bool
    difficult: bool
    trained_on: bool


def count_dialogue(
    dialogue: Dialogue,
    task: EvaluationTask,
    name: str,
    model: str,
    reference: str,
    by: Sequence[str] = (),
    people: Callable[[Dialogue], Sequence[Annotation]] | None = None,
) -> CountedDialogue | None:
    """What a dialogue adds to the share of `name`; None where the model did not annotate it. Values are read by the model's goals, since
    people divided few. people: as in estimate."""
    annotation = dialogue.annotation(model)
    if annotation is None:
        return None
    right = dialogue.annotation(reference)
    ours = None if right is None or not _labeled(right, task) else _counted(right, task, name)
    difficult = ours is not None and doubt_strategy(dialogue) is not None
    return CountedDialogue(
        short_digest(user_key(dialogue)) >> 1,
        _expected(annotation, task, name),
        None if difficult else ours,
        tuple(value_of(dialogue, field, model) for field in by),
        people is not None and _divided(people(dialogue), right, task),
        difficult,
        bool(trained_on(annotation)),
    )


def sums_of(rows: Sequence[CountedDialogue]) -> Sums:
    """The sums of these dialogues."""
    labeled = [row for row in rows if row.people is not None]
    rest = [row for row in rows if row.people is None]
    parts = [row.people or (0.0, 0.0) for row in labeled], [row.model for row in labeled], [row.model for row in rest]
    people, model, others = (np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in parts)
    return Sums(people, model, others, np.array([row.user for row in (*labeled, *rest)], dtype=np.int64))


def slices_of(rows: Sequence[CountedDialogue], by: Sequence[str]) -> Iterator[tuple[str | None, str, list[int]]]:
    """Field, name, and places of the rows: all of them, then each slice of each field that `values` has, numbers in quarters."""
    yield None, ALL, list(range(len(rows)))
    for field in dict.fromkeys(by):
        members: dict[str, list[int]] = {}
        for place, name in enumerate(names_of([row.values[by.index(field)] for row in rows])):
            if name is not None:
                members.setdefault(name, []).append(place)
        for name in sorted(members):
            yield field, name, members[name]


def estimate(
    dialogues: Iterable[Dialogue],
    task: EvaluationTask,
    name: str,
    model: str,
    reference: str,
    by: Sequence[str] = (),
    level: float = 0.95,
    people: Callable[[Dialogue], Sequence[Annotation]] | None = None,
    planned: int | None = None,
) -> list[dict[str, Any]]:
    """The share of `name` among the answers to an exclusive task, in the whole log and in each slice.

    Left out are dialogues that the model did not annotate or was trained on. Annotations by people of dialogues that were drawn because they
    are difficult are ignored, since they do not hold for the rest. people: those whose consensus is the reference; a dialogue in
    which it leaves open an answer of two of them counts as divided. planned: number of dialogues labeled by people for which intervals are
    expected, too. Memory: some numbers for each dialogue. Raises UsageError for a field that no dialogue has."""
    counted = (count_dialogue(d, task, name, model, reference, by, people) for d in with_fields(dialogues, by))
    rows = [row for row in counted if row is not None]
    return [_row(key, value, [rows[k] for k in places], level, planned) for key, value, places in slices_of(rows, by)]


def with_fields(dialogues: Iterable[Dialogue], by: Sequence[str]) -> Iterator[Dialogue]:
    """The dialogues as they come. Raises UsageError at their end for a field that none of them has."""
    known = known_fields(())
    for dialogue in dialogues:
        if not known.issuperset(by):
            known |= known_fields([dialogue])
        yield dialogue
    for name in by:
        require(name, known - {PROBABILITY}, "field to slice by")


def _row(
    by: str | None, name: str, every: Sequence[CountedDialogue], level: float, planned: int | None
) -> dict[str, Any]:
    rows = [row for row in every if not row.trained_on]
    sums = sums_of(rows)
    powered = prediction_powered(sums, level)
    row = {
        "by": by,
        "slice": name,
        "dialogues": len(rows),
        "labeled_by_people": len(sums.people),
        "users": len({row.user for row in rows if row.people is not None}),
        "people_divided": sum(row.divided for row in rows),
        "trained_on": len(every) - len(rows),
        "drawn_for_difficulty": sum(row.difficult for row in rows),
        "people_alone": people_alone(sums, level).rounded(),
        "prediction_powered": powered.interval.rounded(),
        "weight": round(powered.weight, 4),
    }
    if planned is not None:
        row["planned_people_alone"] = people_alone(sums, level, planned=planned).rounded()
        row["planned_prediction_powered"] = prediction_powered(sums, level, planned=planned).interval.rounded()
    return row


def _divided(people: Sequence[Annotation], reference: Annotation | None, task: EvaluationTask) -> bool:
    votes = Counter(at for annotation in people for at in answered(annotation, task))
    decided = answered(reference, task)
    return any(count > 1 for at, count in votes.items() if at not in decided)


def _labeled(annotation: Annotation, task: EvaluationTask) -> bool:
    """Whether the annotation answers the task, also by a division without goals."""
    return bool(answered(annotation, task)) or (task.scopes == (AtGoal,) and division(annotation) is not None)


def _counted(annotation: Annotation, task: EvaluationTask, name: str) -> Counts:
    answers = answered(annotation, task).values()
    return float(sum(labels[0].name == name for labels in answers)), float(len(answers))


def _expected(annotation: Annotation, task: EvaluationTask, name: str) -> Counts:
    """Expected numbers; a field that the model withheld counts with its guess."""
    answers: Mapping[Any, tuple[Label, ...]] = answered(annotation, task)
    guesses = [x.best for x in annotation.abstained if concerns(x.field, task)]
    known = [labels for labels in (*answers.values(), *guesses) if labels]
    p = [(labels[0].name == name) if (p := probability_of(name, labels)) is None else p for labels in known]
    return float(sum(p)), float(len(known))
