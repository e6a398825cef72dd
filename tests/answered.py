"""What Label Studio would export for a task, and what an annotation says in the questions that it asks."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labelgen.data.labels import Annotation
from labelgen.review.form import TASKS


def accepted(task: dict[str, Any], who: object = 7, **more: object) -> dict[str, Any]:
    """The task, answered by a person who submits the prediction as it is."""
    return {"id": 1, "annotations": [{"result": task["predictions"][0]["result"], "completed_by": who, **more}], **task}


def write_export(path: Path, tasks: Iterable[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(list(tasks)), encoding="utf-8")
    return path


def said(annotation: Annotation, tasks: Iterable[str] = TASKS) -> set[tuple[object, ...]]:
    """Labels and answered fields, without what a person does not give: probabilities and ratings between whole ones."""
    kept = set(tasks)
    labels = {
        (x.task, x.at, x.name, x.value if x.task == "slots" else None) for x in annotation.labels if x.task in kept
    }
    return labels | {("none", none.field) for none in annotation.none if none.task in kept}
