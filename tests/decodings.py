"""Answers of tasks and models as annotations."""

from typing import Any

from labelgen.data.labels import Annotation, Answers, annotation_of
from labelgen.features.layout import Layout
from labelgen.model.label_model import LabelModel
from labelgen.tasks.task import Task


def decoded(task: Task[Any], out: Any, layout: Layout) -> list[Annotation]:
    """The answers of one task, an annotation for each dialogue."""
    return [annotation_of("m", "model", answers) for answers in task.decode(out, layout)]


def by_task(model: LabelModel, answers: Answers) -> dict[str, Annotation]:
    """The answers of a model about one dialogue, an annotation for each task."""
    return {name: annotation_of("m", "model", [x for x in answers if x.task == name]) for name in model.tasks}
