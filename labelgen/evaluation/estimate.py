"""How often a label holds in a log: prediction-powered inference (PPI++) from few annotations by people and a model's on all dialogues."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labelgen.base.registry import require
from labelgen.confidence.prediction_powered import Sums, people_alone, prediction_powered
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label, division
from labelgen.data.split import user_key
from labelgen.evaluation.prepare import trained_on
from labelgen.evaluation.slices import DIALOGUE_FIELDS, value_of
from labelgen.metrics.scores import probability_of
from labelgen.review.sampling import doubt_strategy
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns

ALL = "all"
"""The name of the slice of all dialogues."""

Counts = tuple[float, float]
"""Of one dialogue: answers with the label, and answers."""


@dataclass(slots=True)
class _Slice:
    people: list[Counts] = field(default_factory=list)
    model: list[Counts] = field(default_factory=list)
    rest: list[Counts] = field(default_factory=list)
    users_of_people: list[int] = field(default_factory=list)
    users_of_rest: list[int] = field(default_factory=list)
    divided: int = 0
    trained_on: int = 0
    difficult: int = 0


def slice_of(dialogue: Dialogue, by: str, model: str) -> str | None:
    """The slice of a dialogue, by the model's goals, since people divided few. Raises UsageError for a field that nothing is sliced by."""
    require(by, DIALOGUE_FIELDS, "slice")
    value = value_of(dialogue, by, model)
    return None if value is None else str(value)


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
    expected, too. Memory: three numbers for each dialogue."""
    slices: dict[tuple[str | None, str], _Slice] = {(None, ALL): _Slice()}
    users: dict[str, int] = {}
    for dialogue in dialogues:
        annotation = dialogue.annotation(model)
        if annotation is None:
            continue
        theirs = _expected(annotation, task, name)
        right = dialogue.annotation(reference)
        ours = None if right is None or not _labeled(right, task) else _counted(right, task, name)
        names: list[tuple[str | None, str]] = [(None, ALL)]
        names += [(key, value) for key in by if (value := slice_of(dialogue, key, model)) is not None]
        divided = people is not None and _divided(people(dialogue), right, task)
        difficult = ours is not None and doubt_strategy(dialogue) is not None
        if difficult:
            ours = None
        user = users.setdefault(user_key(dialogue), len(users))
        for key in names:
            rows = slices.setdefault(key, _Slice())
            if trained_on(annotation):
                rows.trained_on += 1
                continue
            rows.divided += divided
            rows.difficult += difficult
            if ours is None:
                rows.rest.append(theirs)
                rows.users_of_rest.append(user)
            else:
                rows.people.append(ours)
                rows.model.append(theirs)
                rows.users_of_people.append(user)
    fields = (None, *dict.fromkeys(by))
    return [
        _row(*key, slices[key], level, planned)
        for key in sorted(slices, key=lambda key: (fields.index(key[0]), key[1]))
    ]


def _row(by: str | None, name: str, rows: _Slice, level: float, planned: int | None) -> dict[str, Any]:
    people, model, rest = (
        np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in (rows.people, rows.model, rows.rest)
    )
    users = np.asarray([*rows.users_of_people, *rows.users_of_rest], dtype=np.int64)
    sums = Sums(people, model, rest, users)
    powered = prediction_powered(sums, level)
    row = {
        "by": by,
        "slice": name,
        "dialogues": len(rows.people) + len(rows.rest),
        "labeled_by_people": len(rows.people),
        "users": len(set(rows.users_of_people)),
        "people_divided": rows.divided,
        "trained_on": rows.trained_on,
        "drawn_for_difficulty": rows.difficult,
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
