"""What systems are judged on: a task at one unit, or several tasks jointly. No task is known by name here."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from labelgen.base.registry import require, resolve
from labelgen.data.dialogue import Dialogue
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
    on_turns,
)
from labelgen.metrics import WITHOUT_HEAD
from labelgen.metrics.metric import Answered, Item

_SCOPE: Mapping[Unit, type] = {"turn": AtTurn, "span": AtTurn, "goal": AtGoal, "dialogue": AtDialogue}


@dataclass(frozen=True)
class EvaluationTask:
    """A task at one unit, at several units pooled, or several tasks jointly.

    name: unique, for headings. tasks: usually one; of several, a field is answered where all are, and right where all are right.
    metrics: of labelgen.metrics.METRICS, the main one first. names: the label set of an exclusive task, else None. first_turn: earlier turns are not judged.
    idle: as those of the task (tasks/task.py)."""

    name: str
    tasks: tuple[str, ...]
    units: tuple[Unit, ...]
    metrics: tuple[str, ...]
    names: tuple[str, ...] | None = None
    first_turn: int = 0
    idle: tuple[str, ...] = ()

    @cached_property
    def divides(self) -> bool:
        """Whether the answers divide the dialogue into goals."""
        return any(divides(task) for task in self.tasks)

    @cached_property
    def scopes(self) -> tuple[type, ...]:
        """The kinds of place that one answer is about; a division into goals is about the dialogue."""
        return (AtDialogue,) if self.divides else tuple(_SCOPE[unit] for unit in self.units)


def tasks_of_units(
    task: str,
    units: Sequence[Unit],
    metrics: Sequence[str],
    names: Sequence[str] | None = None,
    idle: tuple[str, ...] = (),
) -> tuple[EvaluationTask, ...]:
    """One evaluation task for each unit of a task."""
    known = None if names is None else tuple(names)
    return tuple(
        EvaluationTask(
            task if len(units) == 1 else f"{task}, {unit}", (task,), (unit,), tuple(metrics), known, idle=idle
        )
        for unit in units
    )


def evaluation_tasks(joint: Mapping[str, Sequence[str]] | None = None) -> tuple[EvaluationTask, ...]:
    """One evaluation task for each unit of each registered task that has metrics, and of those without a head. Loads the tasks, and so torch.

    joint: metric -> tasks whose turns are judged jointly by it."""
    from labelgen.tasks import TASKS

    out: list[EvaluationTask] = []
    for name in TASKS:
        task: Any = resolve(TASKS, name, "task")
        if task.metrics:
            out += tasks_of_units(name, task.units, task.metrics, None if task.divides else task.names, task.idle)
    for name, (units, metrics) in WITHOUT_HEAD.items():
        out += tasks_of_units(name, units, metrics)
    for metric, tasks in (joint or {}).items():
        out.append(EvaluationTask(" and ".join(tasks), tuple(tasks), ("turn",), (metric,)))
    return tuple(out)


def about(tasks: Sequence[EvaluationTask], names: Sequence[str]) -> tuple[EvaluationTask, ...]:
    """The evaluation tasks about these tasks alone. Raises UsageError for an unknown task."""
    for name in names:
        require(name, {known for task in tasks for known in task.tasks}, "task")
    return tuple(task for task in tasks if set(task.tasks) <= set(names))


def from_turn(tasks: Sequence[EvaluationTask], first_turn: int) -> tuple[EvaluationTask, ...]:
    """The tasks, judged from this turn on."""
    return tuple(dataclasses.replace(task, first_turn=first_turn) for task in tasks)


def exclusive_names(tasks: Sequence[EvaluationTask]) -> dict[str, tuple[str, ...]]:
    """The exclusive tasks with their label sets, as a consensus needs them."""
    return {task.tasks[0]: task.names for task in tasks if task.names is not None}


def answered(annotation: Annotation | None, task: EvaluationTask) -> dict[At, tuple[Label, ...]]:
    """scope -> labels, of every field that the annotation answers in all of the tasks. Of an exclusive task, "no name is known" is no
    answer: it can be neither right nor wrong."""
    if annotation is None:
        return {}
    first, *others = (answers(annotation, name) for name in task.tasks)
    return {
        at: labels + tuple(label for other in others for label in other[at])
        for at, labels in first.items()
        if concerns_place(at, task) and all(at in other for other in others) and (labels or task.names is None)
    }


def item_of(
    dialogue: Dialogue, task: EvaluationTask, reference: Answered, predicted: Answered, covered: Sequence[int] | None
) -> Item:
    """What the metrics of a task compare in a dialogue. covered: turns on which a division into goals is judged, None for all."""
    requests = tuple(turn.request for turn in dialogue.turns)
    item = Item(requests, reference, predicted)
    return on_covered_turns(item, covered) if task.divides else item


def on_covered_turns(item: Item, covered: Sequence[int] | None) -> Item:
    """Divisions into goals as of a dialogue that has only the covered turns, numbered from 0; None for all turns."""
    if covered is None:
        return item
    number = {turn: k for k, turn in enumerate(covered)}

    def moved(label: Label) -> Label:
        assert isinstance(label.at, AtGoal)
        return replace(label, at=AtGoal(tuple([number[turn] for turn in label.at.turns])))

    reference, predicted = (
        {at: tuple(map(moved, on_turns(labels, number))) for at, labels in answers.items()}
        for answers in (item.reference, item.predicted)
    )
    return Item(tuple(item.requests[turn] for turn in covered), reference, predicted)


def concerns_place(at: At, task: EvaluationTask) -> bool:
    """Whether answers at this place are judged."""
    return isinstance(at, task.scopes) and not (isinstance(at, AtTurn) and at.turn < task.first_turn)


def concerns(field: Field, task: EvaluationTask) -> bool:
    """Whether the field is one of the task's."""
    return field.task in task.tasks and concerns_place(field.at, task)
