"""What Label Studio and Argilla would export for a task, and what an annotation says in the questions that it asks."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labelgen.data.labels import Annotation
from labelgen.review.label_studio import TASKS


def accepted(task: dict[str, Any], who: object = 7, **more: object) -> dict[str, Any]:
    """The task, answered by a person who submits the prediction as it is."""
    return {"id": 1, "annotations": [{"result": task["predictions"][0]["result"], "completed_by": who, **more}], **task}


def write_export(path: Path, tasks: Iterable[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(list(tasks)), encoding="utf-8")
    return path


def submitted(files: Mapping[str, str], who: str = "anna", status: str = "submitted") -> list[dict[str, Any]]:
    """The records of Argilla's datasets in flat form, answered by a person who submits the suggestions as they are."""
    rows = []
    for name, text in files.items():
        for record in json.loads(text) if name.endswith("records.json") else ():
            row = {
                "id": record["id"],
                "status": "completed",
                "_server_id": None,
                **record["fields"],
                **record["metadata"],
            }
            for question, suggestion in record["suggestions"].items():
                row[f"{question}.responses"] = [suggestion["value"]]
                row[f"{question}.responses.users"] = [who]
                row[f"{question}.responses.status"] = [status]
            rows.append(row)
    # As Argilla does, every row has all keys of its dataset.
    keys = [{key for row in rows if ("turn" in row) == of_turns for key in row} for of_turns in (False, True)]
    return [{key: row.get(key) for key in sorted(keys["turn" in row])} for row in rows]


def said(annotation: Annotation, tasks: Iterable[str] = TASKS) -> set[tuple[object, ...]]:
    """Labels and answered fields, without what a person does not give: probabilities and ratings between whole ones."""
    kept = set(tasks)
    labels = {
        (x.task, x.at, x.name, x.value if x.task == "slots" else None) for x in annotation.labels if x.task in kept
    }
    return labels | {("none", none.field) for none in annotation.none if none.task in kept}
