"""labelgen label and verify from the command line; with a real model, if a tiny one of random weights."""

import io
import json
import sys
from pathlib import Path

import pytest
from fake_annotator import FakeAnnotator
from some_logs import lines, mixed_log, record, tree, write_lines

import labelgen.steps.label
from labelgen.cli.main import main
from labelgen.labeling.engines import local_engine


@pytest.fixture
def fake(monkeypatch):
    """The commands work with the fake annotator."""
    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator())


def label(source: Path, out: Path, *more: str) -> int:
    return main(["label", str(source), str(out), "--model", "m", "--workers", "1", *more])


def test_label_bad_rate_exceeded_exits_3(tmp_path, capsys, fake):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    assert label(source, out) == 3
    before = tree(out)
    assert "manifest.json" in before
    assert label(source, out) == 3
    capsys.readouterr()
    assert label(source, out, "--max-bad-rate", "0.2") == 0
    assert tree(out) == before
    said = capsys.readouterr().out
    assert "13 of 16 dialogues labeled" in said
    assert "quarantined: bad_json 1, bad_type 1, doubled_id 1" in said
    assert main(["verify", str(out), "--input", str(source)]) == 0
    assert "verified" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["-", "out"],
        ["in", "-"],
        ["in", "out", "--workers", "0"],
        ["in", "out", "--shard-dialogues", "4097"],
        ["in", "x"],
        ["-", "-", "--engine", "ray"],
    ],
)
def test_label_invalid_options_exit_2(tmp_path, monkeypatch, fake, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert main(["label", *words, "--model", "m"]) == 2


def test_what_is_refused_leaves_no_folder(tmp_path):
    """Of a log without one good record the model is asked for late."""
    (tmp_path / "bad.jsonl").write_text("{\n")
    assert label(tmp_path / "bad.jsonl", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "workers"),
    [((), 77), (("--device", "cuda"), 4), (("--device", "cuda:1"), 1), (("--device", "cuda", "--workers", "3"), 3)],
)
def test_label_gpus_default_to_one_worker_each(tmp_path, monkeypatch, fake, words, workers):
    counts = []

    def engine(load, workers, gpus):
        assert gpus == (["0", "1", "2", "3"] if "cuda" in words else [])
        counts.append(workers)
        return local_engine(load, 1)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "one kind")

    monkeypatch.setattr(labelgen.steps.label, "cores", lambda: 77)
    monkeypatch.setattr(labelgen.steps.label, "local_engine", engine)
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    assert main(["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", "m", *words]) == 0
    assert counts == [workers]


def test_label_stream_writes_labels(monkeypatch, tmp_path, capsysbinary, fake):
    """What is labeled is what a folder would hold; the bad go to the file that was named."""
    write_lines(tmp_path / "in" / "a.jsonl", [record("d"), record("e", 0)])
    assert label(tmp_path / "in", tmp_path / "out") == 0
    given = io.TextIOWrapper(io.BytesIO(lines([record("d"), "{", record("e", 0)])))
    monkeypatch.setattr(sys, "stdin", given)
    capsysbinary.readouterr()
    bad = tmp_path / "bad.jsonl"
    words = ["label", "-", "-", "--model", "m", "--quarantine", str(bad), "--max-bad-rate", "0.3"]
    assert main(words) == 3
    assert capsysbinary.readouterr().out == (tmp_path / "out" / "a.jsonl").read_bytes()
    assert json.loads(bad.read_text())["reason"].startswith("bad_json")
