"""verify finds what is wrong with labeled records, also where digests were made to agree."""

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_annotator import FakeAnnotator
from some_logs import mixed_log, record, write_lines

import labelgen.steps.label
from labelgen.base.errors import IntegrityError, UsageError
from labelgen.cli.main import main
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify


@pytest.fixture
def labeled(tmp_path) -> tuple[Path, Path]:
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    label(source, out, InlineEngine(partial(FakeAnnotator)), "model", {}, 2)
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
        (other_model, "dialogue a0: its labels are not by the model of the manifest"),
        (no_annotation, "dialogue a0: no annotation by model"),
        (other_labels, "a.jsonl: the counts of its records are not those of the manifest"),
        (lambda records: records[1:], "a.jsonl: the counts of its records are not those of the manifest"),
        (not_a_record, "bad_type"),
    ],
)
def test_verify_forged_records_are_reported(labeled, change, found):
    _, out = labeled
    assert list(verify(out)) == []
    forge(out, "a.jsonl", change)
    (fault,) = verify(out)
    assert found in fault


@pytest.mark.parametrize("change", [other_request, lambda records: records[::-1]])
def test_verify_input_records_and_order_are_checked(labeled, change):
    source, out = labeled
    assert list(verify(out, source)) == []
    forge(out, "a.jsonl", change)
    assert list(verify(out)) == []
    assert list(verify(out, source)) == ["a.jsonl: dialogues of the input are missing or out of order"]


def test_verify_input_files_are_checked(labeled):
    source, out = labeled
    write_lines(source / "a.jsonl", [record("z")])
    write_lines(source / "new.jsonl", [record("n")])
    (source / "empty.jsonl").unlink()
    assert set(verify(out, source)) == {
        "a.jsonl of the input changed after it was labeled",
        "new.jsonl of the input is not labeled",
        "empty.jsonl is no longer in the input",
    }


def test_verify_missing_and_extra_files_are_reported(labeled):
    _, out = labeled
    (out / "sub" / "c.parquet").unlink()
    write_lines(out / "stray.jsonl", [record("s")])
    write_lines(out / "empty.jsonl.quarantine.jsonl", [])
    assert set(verify(out)) == {
        "sub/c.parquet is missing",
        "stray.jsonl is not in the manifest",
        "empty.jsonl.quarantine.jsonl is not in the manifest",
    }


def test_verify_without_manifest_is_refused(tmp_path, labeled):
    _, out = labeled
    with pytest.raises(UsageError, match="no labeled log"):
        list(verify(tmp_path / "nowhere"))
    (out / "manifest.json").write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        list(verify(out))


def test_verify_duplicate_ids_are_reported(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", [record("d"), record("e")])
    write_lines(tmp_path / "in" / "b.jsonl", [record("f"), record("d", 1)])
    label(tmp_path / "in", tmp_path / "out", InlineEngine(partial(FakeAnnotator)), "model", {}, 2)
    assert list(verify(tmp_path / "out")) == ["doubled_id: dialogue d of b.jsonl is in a.jsonl too"]


def other_probability(records: list[Any]) -> list[Any]:
    records[0]["annotations"][-1]["goals"][0]["probability"] = 0.25
    return records


def verify_command(*words: object) -> int:
    return main(["verify", *map(str, words)])


@pytest.fixture
def fake(monkeypatch) -> None:
    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator())


def label_command(source: Path, out: Path, *more: str) -> int:
    return main(["label", str(source), str(out), "--model", "m", "--workers", "1", "--max-bad-rate", "1", *more])


def test_verify_manifest_digest_detects_rewriting(tmp_path, capsys, fake):
    """Records and manifest agree with each other, and still are not what was written."""
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    assert label_command(source, out) == 0
    said = capsys.readouterr().out
    digest = sha256((out / "manifest.json").read_bytes()).hexdigest()
    assert f"digest of the manifest: {digest}" in said
    assert verify_command(out, "--input", source, "--manifest-digest", digest.upper()) == 0
    assert digest in capsys.readouterr().out
    forge(out, "a.jsonl", other_probability)
    assert verify_command(out, "--input", source) == 0
    assert verify_command(out, "--input", source, "--manifest-digest", digest) == 4
    assert f"manifest.json does not have the digest {digest}" in capsys.readouterr().err


def test_verify_sample_detects_changed_labels(tmp_path, capsys, fake):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    assert label_command(source, out, "--shard-dialogues", "2") == 0
    words = [out, "--model", "m", "--input", source]
    assert verify_command(*words, "--sample", 99) == 0
    assert "a sample was labeled again, to the same bytes" in capsys.readouterr().out
    forge(out, "a.jsonl", other_probability)
    assert verify_command(*words, "--sample", 99) == 4
    assert "a.jsonl, shard 0: its labels differ when it is labeled again" in capsys.readouterr().out
    codes = {verify_command(*words, "--sample", 3, "--seed", seed) for seed in range(20)}
    assert codes == {0, 4}
    assert [verify_command(*words, "--sample", 3, "--seed", 5) for _ in range(3)] in ([0] * 3, [4] * 3)


def test_verify_sample_redacted_uses_input(tmp_path, capsys, fake):
    source, out = tmp_path / "in", tmp_path / "out"
    turns = [{"request": "mail me at anna@example.org", "response": "Done."}]
    write_lines(source / "a.jsonl", [{"id": "d", "turns": turns}])
    assert label_command(source, out, "--redact") == 0
    assert b"anna@example.org" not in (out / "a.jsonl").read_bytes()
    assert verify_command(out, "--model", "m", "--sample", 1) == 2
    assert "give --input too" in capsys.readouterr().err
    assert verify_command(out, "--model", "m", "--sample", 1, "--input", source) == 0


def test_verify_sample_other_model_is_refused(tmp_path, capsys, monkeypatch, fake):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    assert label_command(source, out) == 0
    assert verify_command(out, "--sample", 2) == 2
    (tmp_path / "labels.json").write_text("{}")
    assert (
        verify_command(out, "--sample", 2, "--model", "m", "--input", source, "--labels", tmp_path / "labels.json") == 2
    )
    assert "without a label set" in capsys.readouterr().err
    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator("m2"))
    assert verify_command(out, "--sample", 2, "--model", "m", "--input", source) == 2
    assert "model.model_digest: m1, now m2" in capsys.readouterr().err


def test_verify_temporary_file_is_reported(labeled):
    _, out = labeled
    (out / "sub" / ".b.jsonl.gz.x1y2.part").write_bytes(b"")
    (fault,) = verify(out)
    assert fault == "sub/.b.jsonl.gz.x1y2.part is an unfinished temporary file; it can be deleted"


def test_verify_sample_uses_manifest_settings(tmp_path, tiny_model):
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", [record(f"d{k}", k % 3, source="toy") for k in range(9)])
    words = ["--model", str(tiny_model), "--workers", "1", "--online", "--annotator", "tiny"]
    assert main(["label", str(source), str(out), *words]) == 0
    assert verify_command(out, "--model", tiny_model, "--input", source, "--sample", 2) == 0


def test_verify_damaged_input_is_reported(tmp_path, capsys, fake):
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl.gz", [record(f"d{k}") for k in range(400)])
    whole = (source / "a.jsonl.gz").read_bytes()
    (source / "a.jsonl.gz").write_bytes(whole[:-20])
    assert label_command(source, out) == 0
    assert verify_command(out, "--input", source) == 3
    told = capsys.readouterr()
    assert "verified" in told.out
    assert "a.jsonl.gz is damaged" in told.err
