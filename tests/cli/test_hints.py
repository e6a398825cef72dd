"""Files of another kind than was asked for, and places that cannot be written, are told with what to do."""

import json
from collections import Counter
from pathlib import Path

import pytest
from some_logs import record, write_lines, write_rows

from labelgen.base.errors import InputError
from labelgen.cli.main import main
from labelgen.review.label_studio import read_answers


def test_a_short_export_of_label_studio_is_called_that(tmp_path: Path):
    export = tmp_path / "answers.json"
    task = {
        "id": 1,
        "dialogue": [{"author": "user", "text": "hi"}],
        "annotator": 1,
        "annotation_id": 7,
        "lead_time": 3.5,
    }
    export.write_text(json.dumps([task, task]))
    with pytest.raises(InputError, match="JSON-MIN") as told:
        list(read_answers(export, Counter()))
    assert "in the format JSON" in told.value.hint


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("log.parquet", "has no column 'q'", "these are records of labelgen"),
        ("log.csv", "is Parquet, and no text of the form CSV", "give its true form"),
    ],
)
def test_parquet_that_is_read_as_a_table_is_called_that(tmp_path: Path, name, what, hint, capsys):
    write_rows(tmp_path / "log.parquet", [record("d")])
    (tmp_path / "log.parquet").rename(tmp_path / name)
    words = ["--format", "mapped", "--option", "dialogue=id", "--option", "request=q", "--option", "response=a"]
    assert main(["data", "validate", str(tmp_path / name), *words]) == 2
    said = capsys.readouterr().err
    assert what in said
    assert f"hint:  {hint}" in said


@pytest.mark.parametrize("words", [["data", "split", "LOG", "OUT"], ["data", "convert", "LOG", "OUT/log.jsonl"]])
def test_a_place_that_cannot_be_written_is_named_with_a_hint(words, tmp_path, capsys):
    """Below a file there is no folder, whoever asks."""
    write_lines(tmp_path / "log.jsonl", [record("d")])
    (tmp_path / "file").touch()
    where = str(tmp_path / "file" / "out")
    given = [word.replace("LOG", str(tmp_path / "log.jsonl")).replace("OUT", where) for word in words]
    assert main(given) == 5
    said = capsys.readouterr().err
    assert str(tmp_path / "file") in said
    assert "hint:  check that" in said
