"""Checks datasets and responses for Argilla by its own package, in an environment of its own:

    python -m venv runs/argilla && runs/argilla/bin/pip install argilla==2.8.0
    runs/argilla/bin/python scripts/check_argilla.py review/ [answers.json]

Every record becomes an `rg.Record` whose suggestions belong to the questions, and the settings an `rg.Settings`. No server is asked: a stub
takes the place of the client. answers.json: the suggestions as submitted responses, in the form of `to_list(flatten=True)`.
Says what is wrong and ends with 1, else how much it checked."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock
from uuid import uuid4

import argilla as rg
from argilla.datasets._io._disk import DiskImportExportMixin
from argilla.records._io import GenericIO, JsonIO

rg.Argilla._get_default = classmethod(lambda cls: MagicMock())


def main(folder: str, answers: str | None = None) -> int:
    errors, rows = [], []
    for path in sorted(Path(folder).iterdir()):
        dataset_file, settings_file, records_file = DiskImportExportMixin._define_child_paths(path)
        dataset = DiskImportExportMixin._load_dataset_model(dataset_file)
        settings = rg.Settings.from_json(settings_file)
        settings.validate()
        again = rg.Settings._from_dict(json.loads(json.dumps(settings.serialize())))
        errors += [] if again == settings else [f"{path.name}: settings change when they are written and read"]
        questions = {question.name: question for question in settings.questions}
        fields = {field.name for field in settings.fields}
        records = JsonIO._records_from_json(records_file)
        suggestions = 0
        for record in records:
            errors += [f"{record.id}: no field {name}" for name in record.fields.keys() - fields]
            record.api_model().model_dump()
            for suggestion in list(record.suggestions):
                suggestions += 1
                labels = getattr(questions[suggestion.question_name], "labels", None)
                named = suggestion.value if isinstance(suggestion.value, list) else [suggestion.value]
                named = [one["label"] if isinstance(one, dict) else one for one in named]
                wrong = [] if labels is None else [one for one in named if one not in labels]
                errors += [f"{record.id}: {suggestion.question_name} has no label {one!r}" for one in wrong]
                record.responses.add(rg.Response(suggestion.question_name, suggestion.value, USER, "submitted"))
        rows += GenericIO.to_list(records, flatten=True)
        print(
            f"{path.name}: {dataset.name}, {len(fields)} fields, {len(questions)} questions, "
            f"{len(records):,} records with {suggestions:,} suggestions"
        )
    if answers is not None:
        Path(answers).write_text(json.dumps(rows), encoding="utf-8")
    print("\n".join(errors) or f"all are valid for argilla {version('argilla')}")
    return bool(errors)


USER = uuid4()

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
