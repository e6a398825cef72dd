"""What is asked of annotators: a task at one unit, or several tasks at once. Nothing here knows a task by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelgen.base.registry import require
from labelgen.data.labels import (
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    AtTurn,
    Field,
    Label,
    Unit,
    answers,
    divides,
)

_SCOPE: Mapping[Unit, type] = {"turn": AtTurn, "span": AtTurn, "goal": AtGoal, "dialogue": AtDialogue}


@dataclass(frozen=True, slots=True)
class Question:
    """name: unique, for headings. tasks: usually one; of several, a field is answered where all are, and right where
    all are right. metrics: of labelgen.metrics.METRICS, the main one first. names: of a task of which exactly one name
    holds, else None."""

    name: str
    tasks: tuple[str, ...]
    unit: Unit
    metrics: tuple[str, ...]
    names: tuple[str, ...] | None = None

    @property
    def divides(self) -> bool:
        """Whether the answers divide the dialogue into goals."""
        return any(divides(task) for task in self.tasks)

    @property
    def scope(self) -> type:
        """The kind of place that one answer is about; a division into goals is about the dialogue."""
        return AtDialogue if self.divides else _SCOPE[self.unit]


def questions_of(
    task: str, units: Sequence[Unit], metrics: Sequence[str], names: Sequence[str] | None = None
) -> tuple[Question, ...]:
    """One question for each unit of a task."""
    return tuple(
        Question(
            task if len(units) == 1 else f"{task}, {unit}",
            (task,),
            unit,
            tuple(metrics),
            None if names is None else tuple(names),
        )
        for unit in units
    )


def of_tasks(questions: Sequence[Question], tasks: Sequence[str]) -> tuple[Question, ...]:
    """The questions about these tasks alone. Raises UsageError for a task that no question is about."""
    for name in tasks:
        require(name, {task for question in questions for task in question.tasks}, "task")
    return tuple(question for question in questions if set(question.tasks) <= set(tasks))


def exclusive_names(questions: Sequence[Question]) -> dict[str, tuple[str, ...]]:
    """The tasks of which exactly one name holds, as a consensus wants them."""
    return {q.tasks[0]: q.names for q in questions if q.names is not None}


def answered(annotation: Annotation | None, question: Question) -> dict[At, tuple[Label, ...]]:
    """scope -> labels, of every field that the annotation answers in all tasks of the question. That none of an exclusive
    task's names can be told is no answer: it can be neither right nor wrong."""
    if annotation is None:
        return {}
    first, *others = (answers(annotation, task) for task in question.tasks)
    return {
        at: labels + tuple(label for other in others for label in other[at])
        for at, labels in first.items()
        if isinstance(at, question.scope)
        and all(at in other for other in others)
        and (labels or question.names is None)
    }


def concerns(field: Field, question: Question) -> bool:
    return field.task in question.tasks and isinstance(field.at, question.scope)
