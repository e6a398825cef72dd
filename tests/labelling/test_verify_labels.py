"""verify finds what is wrong with labelled records, also where digests were made to agree."""

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_annotator import FakeAnnotator
from some_logs import mixed_log, record, write_lines

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.labelling.engines import Inline
from labelgen.labelling.run import label
from labelgen.labelling.verify import verify


@pytest.fixture
def labelled(tmp_path) -> tuple[Path, Path]:
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    label(source, out, Inline(partial(FakeAnnotator)), "model", {}, 2)
    return source, out


def forge(out: Path, path: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change the records of an output file, and let the manifest's digest agree with them."""
    records = change([json.loads(text) for text in (out / path).read_text().splitlines()])
    write_lines(out / path, records)
    edit_manifest(out, path, output_digest=sha256((out / path).read_bytes()).hexdigest())


def edit_manifest(out: Path, path: str, **values: object) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == path:
            file.update(values)
    (out / "manifest.json").write_text(json.dumps(manifest))


def other_request(records: list[Any]) -> list[Any]:
    records[0]["turns"][0]["request"] += "!"
    return records


def other_model(records: list[Any]) -> list[Any]:
    records[0]["annotations"][-1]["provenance"]["model_digest"] = "m2"
    return records


def no_annotation(records: list[Any]) -> list[Any]:
    records[0]["annotations"] = []
    return records


def other_labels(records: list[Any]) -> list[Any]:
    records[0]["annotations"][-1]["goals"] = None
    return records


def not_a_record(records: list[Any]) -> list[Any]:
    return [{"id": "x"}, *records]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (other_request, "dialogue a0: it is not the dialogue that was labelled"),
        (other_model, "dialogue a0: its labels are not by the model of the manifest"),
        (no_annotation, "dialogue a0: no annotation by model"),
        (other_labels, "a.jsonl: the sums of its records are not those of the manifest"),
        (lambda records: records[1:], "a.jsonl: the sums of its records are not those of the manifest"),
        (not_a_record, "bad_type"),
    ],
)
def test_forged_records_are_found_behind_a_digest_that_agrees(labelled, change, found):
    _, out = labelled
    assert list(verify(out)) == []
    forge(out, "a.jsonl", change)
    (fault,) = verify(out)
    assert found in fault


def test_beside_the_input_the_order_counts(labelled):
    source, out = labelled
    assert list(verify(out, source)) == []
    forge(out, "a.jsonl", lambda records: records[::-1])
    assert list(verify(out)) == []
    assert list(verify(out, source)) == ["a.jsonl: dialogues of the input are missing or out of order"]


def test_beside_the_input_every_file_counts(labelled):
    source, out = labelled
    write_lines(source / "a.jsonl", [record("z")])
    write_lines(source / "new.jsonl", [record("n")])
    (source / "empty.jsonl").unlink()
    assert set(verify(out, source)) == {
        "a.jsonl of the input is not the file that was labelled",
        "new.jsonl of the input is not labelled",
        "empty.jsonl is gone from the input",
    }


def test_missing_and_stray_files_are_found(labelled):
    _, out = labelled
    (out / "sub" / "c.parquet").unlink()
    write_lines(out / "stray.jsonl", [record("s")])
    write_lines(out / "empty.jsonl.quarantine.jsonl", [])
    assert set(verify(out)) == {
        "sub/c.parquet is missing",
        "stray.jsonl is not in the manifest",
        "empty.jsonl.quarantine.jsonl is not in the manifest",
    }


def test_sums_that_do_not_add_up_are_found(labelled):
    _, out = labelled
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"][0]["shards"][0]["sums"]["labelled"] += 1
    manifest["sums"]["turns"] += 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    faults = list(verify(out))
    assert "a.jsonl, shard 0: seen is not labelled + quarantined" in faults
    assert "the sums of the manifest are not those of its files" in faults


def test_without_a_manifest_there_is_nothing_to_verify(tmp_path, labelled):
    _, out = labelled
    with pytest.raises(UsageError, match="no labelled log"):
        list(verify(tmp_path / "nowhere"))
    (out / "manifest.json").write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        list(verify(out))


def test_an_id_is_found_twice_in_the_whole_log(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", [record("d"), record("e")])
    write_lines(tmp_path / "in" / "b.jsonl", [record("f"), record("d", 1)])
    label(tmp_path / "in", tmp_path / "out", Inline(partial(FakeAnnotator)), "model", {}, 2)
    assert list(verify(tmp_path / "out")) == ["doubled_id: dialogue d of b.jsonl stands in a.jsonl too"]
