"""Checks tasks and a labeling configuration by Label Studio's own SDK, in an environment of its own:

    python -m venv runs/label-studio && runs/label-studio/bin/pip install label-studio-sdk==2.1.2
    runs/label-studio/bin/python scripts/check_label_studio.py review/config.xml review/tasks.json

Says what the SDK finds wrong and ends with 1, else how much it checked."""

import json
import sys
from pathlib import Path

from label_studio_sdk.label_interface import LabelInterface


def main(config: str, tasks: str) -> int:
    interface = LabelInterface(Path(config).read_text(encoding="utf-8"))
    interface.validate()
    content = json.loads(Path(tasks).read_text(encoding="utf-8"))
    errors, results = [], 0
    for task in content:
        missing = [o.value_name for o in interface.objects if task["data"].get(o.value_name) is None]
        errors += [f"{task['data']['id']}: no {name}" for name in missing]
        for prediction in task["predictions"]:
            results += len(prediction["result"])
            problems = interface.validate_prediction(prediction, return_errors=True)
            errors += [f"{task['data']['id']}: {error}" for error in problems]
    print("\n".join(errors) or f"{len(content):,} tasks with {results:,} results are valid")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
