"""What systems are judged on: a task at one unit, or several tasks jointly. No task is known by name here."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec.structs import replace

from labelgen.base.errors import UsageError
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
from labelgen.metrics.results import Setting

_SCOPE: Mapping[Unit, type] = {"turn": AtTurn, "span": AtTurn, "goal": AtGoal, "dialogue": AtDialogue}

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """A task at one unit, at several units pooled, or several tasks jointly.

    name: unique, for headings. tasks: usually one; of several, a field is answered where all are, and right where all are right.
    metrics: of labelgen.metrics.METRICS, the main one first. names: the label set of an exclusive task, else None. groups: names that
    are judged as one class; empty for each by itself. first_turn: earlier turns are not judged."""

    name: str
    tasks: tuple[str, ...]
    units: tuple[Unit, ...]
    metrics: tuple[str, ...]
    names: tuple[str, ...] | None = None
    groups: Groups = ()
    first_turn: int = 0

    @property
    def divides(self) -> bool:
        """Whether the answers divide the dialogue into goals."""
        return any(divides(task) for task in self.tasks)

    @property
    def scopes(self) -> tuple[type, ...]:
        """The kinds of place that one answer is about; a division into goals is about the dialogue."""
        return (AtDialogue,) if self.divides else tuple(_SCOPE[unit] for unit in self.units)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names that answers have once they are grouped."""
        return tuple(map("+".join, self.groups)) if self.groups else self.names


def tasks_of_units(
    task: str, units: Sequence[Unit], metrics: Sequence[str], names: Sequence[str] | None = None
) -> tuple[EvaluationTask, ...]:
    """One evaluation task for each unit of a task."""
    known = None if names is None else tuple(names)
    return tuple(
        EvaluationTask(task if len(units) == 1 else f"{task}, {unit}", (task,), (unit,), tuple(metrics), known)
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
            out += tasks_of_units(name, task.units, task.metrics, None if task.divides else task.names)
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


def parse_groups(text: str) -> Groups:
    """`bad,fair+good` as classes of names. Raises UsageError for a name that is empty or in two classes."""
    groups = tuple(tuple(part.split("+")) for part in text.split(","))
    names = [name for group in groups for name in group]
    if not all(names) or len(set(names)) < len(names) or len(groups) < 2:
        raise UsageError(f"{text!r} names no classes", "--group", "write --group bad,fair+good")
    return groups


def as_set(tasks: Sequence[EvaluationTask], setting: Setting) -> tuple[EvaluationTask, ...]:
    """The tasks as the setting has them judged: grouped, from its first turn on, with pooled units. Raises UsageError where its groups are
    not the label set of any task."""
    named = {name for group in setting.groups for name in group}
    if named and not any(set(task.names or ()) == named for task in tasks):
        known = {",".join(task.names) for task in tasks if task.names is not None}
        hint = f"give all labels of a task: {' or '.join(sorted(known))}"
        raise UsageError(f"no task has the labels {', '.join(sorted(named))}", "--group", hint)
    pooled: dict[Any, EvaluationTask] = {}
    for task in tasks:
        groups = setting.groups if set(task.names or ()) == named else ()
        task = dataclasses.replace(task, groups=groups, first_turn=setting.first_turn)
        first = pooled.get(task.tasks) if setting.pool_units and len(task.tasks) == 1 else None
        if first is None:
            pooled[task.tasks if setting.pool_units else task.name] = task
        else:
            pooled[task.tasks] = dataclasses.replace(first, name=task.tasks[0], units=(*first.units, *task.units))
    return tuple(pooled.values())


def exclusive_names(tasks: Sequence[EvaluationTask]) -> dict[str, tuple[str, ...]]:
    """The exclusive tasks with their label sets, as a consensus needs them."""
    return {task.tasks[0]: task.names for task in tasks if task.names is not None}


def answered(annotation: Annotation | None, task: EvaluationTask) -> dict[At, tuple[Label, ...]]:
    """scope -> labels, of every field that the annotation answers in all of the tasks. Of an exclusive task, "no name is known" is no
    answer: it can be neither right nor wrong."""
    if annotation is None:
        return {}
    first, *others = (answers(annotation, name) for name in task.tasks)
    by_place = {
        at: labels + tuple(label for other in others for label in other[at])
        for at, labels in first.items()
        if concerns_place(at, task) and all(at in other for other in others) and (labels or task.names is None)
    }
    if not task.groups:
        return by_place
    return {at: tuple(_grouped(label, task.groups) for label in labels) for at, labels in by_place.items()}


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


@cache
def _class_of(groups: Groups) -> Mapping[str, str]:
    return {name: "+".join(group) for group in groups for name in group}


def _grouped(label: Label, groups: Groups) -> Label:
    """The label with its class as its name, and the summed probabilities of classes."""
    class_of = _class_of(groups)
    name = class_of.get(label.name, label.name)
    if label.distribution is None:
        return replace(label, name=name)
    sums: dict[str, float] = {}
    for one, p in label.distribution:
        sums[class_of.get(one, one)] = sums.get(class_of.get(one, one), 0.0) + p
    return replace(label, name=name, probability=sums.get(name), distribution=tuple(sums.items()))
