"""The questions that the known tasks raise. Loads the tasks, and so torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from labelgen.base.registry import resolve
from labelgen.evaluation.question import Question, questions_of
from labelgen.tasks import TASKS
from labelgen.tasks.task import Task


def asked(joint: Mapping[str, Sequence[str]]) -> tuple[Question, ...]:
    """One question for each unit of each task that has metrics, in the order of the registry.

    joint: metric -> tasks that it asks together, about turns; each becomes a question of its own."""
    out: list[Question] = []
    for name in TASKS:
        task: type[Task[Any]] = resolve(TASKS, name, "task")
        if task.metrics:
            out += questions_of(name, task.units, task.metrics, None if task.divides else task.names)
    for metric, tasks in joint.items():
        out.append(Question(" and ".join(tasks), tuple(tasks), "turn", (metric,)))
    return tuple(out)
