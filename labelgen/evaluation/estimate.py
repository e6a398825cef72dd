"""How often a label holds in a log, from what people said of some dialogues and a model of all."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labelgen.base.registry import require
from labelgen.confidence.prediction_powered import Sums, people_alone, prediction_powered
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label, division
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.slices import OF_LOGS, value_of
from labelgen.evaluation.unfit import trained_on
from labelgen.metrics.scores import probability_of
from labelgen.review.sampling import doubt_strategy

ALL = "all"


@dataclass(slots=True)
class _Rows:
    people: list[tuple[float, float]] = field(default_factory=list)
    model: list[tuple[float, float]] = field(default_factory=list)
    rest: list[tuple[float, float]] = field(default_factory=list)
    divided: int = 0
    trained_on: int = 0
    difficult: int = 0


def slice_of(dialogue: Dialogue, by: str, model: str) -> str | None:
    """The slice of a dialogue, whose goals are the model's, since people divided few; raises UsageError for a name that nothing
    is sliced by."""
    require(by, OF_LOGS, "slice")
    found = value_of(dialogue, by, model)
    return None if found is None else str(found)


def estimate(
    dialogues: Iterable[Dialogue],
    question: Question,
    name: str,
    model: str,
    against: str,
    by: Sequence[str] = (),
    level: float = 0.95,
    people: Callable[[Dialogue], Sequence[Annotation]] | None = None,
) -> list[dict[str, Any]]:
    """The share of `name` among the answers of an exclusive question, in the whole log and in each slice.

    Dialogues that the model did not annotate are left out, and so are those that it was trained on. What people said of dialogues
    that were drawn because they are difficult is passed over: it does not hold for the rest. people: those whose consensus `against` is; dialogues in which it decides
    less than two of them answered are counted as divided. Memory: a pair of numbers for each dialogue."""
    slices: dict[tuple[str | None, str], _Rows] = {(None, ALL): _Rows()}
    for dialogue in dialogues:
        said = dialogue.annotation(model)
        if said is None:
            continue
        theirs = _said(said, question, name)
        reference = dialogue.annotation(against)
        ours = None if reference is None or not _labeled(reference, question) else _held(reference, question, name)
        names: list[tuple[str | None, str]] = [(None, ALL)]
        names += [(field, own) for field in by if (own := slice_of(dialogue, field, model)) is not None]
        divided = people is not None and _divided(people(dialogue), reference, question)
        difficult = ours is not None and doubt_strategy(dialogue) is not None
        if difficult:
            ours = None
        for key in names:
            rows = slices.setdefault(key, _Rows())
            if trained_on(said):
                rows.trained_on += 1
                continue
            rows.divided += divided
            rows.difficult += difficult
            if ours is None:
                rows.rest.append(theirs)
            else:
                rows.people.append(ours)
                rows.model.append(theirs)
    fields = (None, *dict.fromkeys(by))
    return [_row(*key, slices[key], level) for key in sorted(slices, key=lambda key: (fields.index(key[0]), key[1]))]


def _row(by: str | None, name: str, rows: _Rows, level: float) -> dict[str, Any]:
    sums = Sums(*(np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in (rows.people, rows.model, rows.rest)))
    alone, powered = people_alone(sums, level), prediction_powered(sums, level)
    return {
        "by": by,
        "slice": name,
        "dialogues": len(rows.people) + len(rows.rest),
        "labeled_by_people": len(rows.people),
        "people_divided": rows.divided,
        "trained_on": rows.trained_on,
        "drawn_for_difficulty": rows.difficult,
        "people_alone": alone.rounded(),
        "prediction_powered": powered.interval.rounded(),
        "weight": round(powered.weight, 4),
    }


def _divided(people: Sequence[Annotation], reference: Annotation | None, question: Question) -> bool:
    said = Counter(at for annotation in people for at in answered(annotation, question))
    decided = answered(reference, question)
    return any(votes > 1 for at, votes in said.items() if at not in decided)


def _labeled(annotation: Annotation, question: Question) -> bool:
    """Whether the annotation answers, if it is that the dialogue has no goal to speak of."""
    return bool(answered(annotation, question)) or (question.scope is AtGoal and division(annotation) is not None)


def _held(annotation: Annotation, question: Question, name: str) -> tuple[float, float]:
    found = answered(annotation, question).values()
    return float(sum(labels[0].name == name for labels in found)), float(len(found))


def _said(annotation: Annotation, question: Question, name: str) -> tuple[float, float]:
    """Expected numbers; what a model withheld counts with its guess."""
    given: Mapping[Any, tuple[Label, ...]] = answered(annotation, question)
    guesses = [
        x.best
        for x in annotation.abstained
        if x.field.task in question.tasks and isinstance(x.field.at, question.scope)
    ]
    found = [labels for labels in (*given.values(), *guesses) if labels]
    sure = [(labels[0].name == name) if (p := probability_of(name, labels)) is None else p for labels in found]
    return float(sum(sure)), float(len(found))
