"""labelgen label and verify from the command line; with a real model, if a tiny one of random weights."""

import io
import json
import sys
from pathlib import Path

import pytest
from fake_annotator import FakeAnnotator
from some_logs import lines, mixed_log, record, tree, write_lines, write_rows

import labelgen.cli.label
import labelgen.kernels.processor
from labelgen.cli.main import main
from labelgen.labeling.engines import local_engine


@pytest.fixture
def fake(monkeypatch):
    """The commands work with the fake annotator."""
    monkeypatch.setattr(labelgen.cli.label, "load_annotator", lambda *_: FakeAnnotator())


def label(source: Path, out: Path, *more: str) -> int:
    return main(["label", str(source), str(out), "--model", "m", "--workers", "1", *more])


def test_label_then_verify_reports_no_fault(tmp_path, capsys, fake):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    assert label(source, out, "--max-bad-rate", "0.5") == 0
    said = capsys.readouterr().out
    assert "13 of 16 dialogues labeled" in said
    assert "quarantined: bad_json 1, bad_type 1, doubled_id 1" in said
    assert main(["verify", str(out), "--input", str(source)]) == 0
    assert "verified" in capsys.readouterr().out


def test_verify_fault_exits_4(tmp_path, capsys, fake):
    write_lines(tmp_path / "in" / "a.jsonl", [record("d")])
    assert label(tmp_path / "in", tmp_path / "out") == 0
    assert main(["verify", str(tmp_path / "out"), "--input", str(tmp_path / "in")]) == 0
    (tmp_path / "out" / "a.jsonl").write_text("")
    assert main(["verify", str(tmp_path / "out")]) == 4
    assert "a.jsonl changed after it was written" in capsys.readouterr().err


def test_label_bad_rate_exceeded_exits_3(tmp_path, capsys, fake):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    assert label(source, out) == 3
    before = tree(out)
    assert "manifest.json" in before
    assert label(source, out) == 3
    assert label(source, out, "--max-bad-rate", "0.2") == 0
    assert tree(out) == before


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
    [((), 77), (("--device", "cuda"), 1), (("--device", "cuda:1"), 1), (("--device", "cuda", "--workers", "3"), 3)],
)
def test_label_gpu_defaults_to_one_worker(tmp_path, monkeypatch, fake, words, workers):
    counts = []

    def engine(load, workers):
        counts.append(workers)
        return local_engine(load, 1)

    monkeypatch.setattr(labelgen.cli.label, "_cores", lambda: 77)
    monkeypatch.setattr(labelgen.cli.label, "local_engine", engine)
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    assert main(["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", "m", *words]) == 0
    assert counts == [workers]


def test_label_missing_device_exits_2(tmp_path, capsys, tiny_model):
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    words = ["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(tiny_model), "--device", "gpu"]
    for more in ((), ("--workers", "2")):
        assert main([*words, *more]) == 2
        assert "did you mean cuda" in capsys.readouterr().err


@pytest.mark.parametrize("there", [False, True])
def test_label_bf16_without_support_warns(tmp_path, capsys, monkeypatch, fake, there):
    monkeypatch.setattr(labelgen.kernels.processor, "has_bf16", lambda _: there)
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    assert label(tmp_path / "in", tmp_path / "out", "--precision", "bf16") == 0
    assert ("--precision 32" in capsys.readouterr().err) is not there
    assert label(tmp_path / "in", tmp_path / "again") == 0
    assert "bf16" not in capsys.readouterr().err


def test_label_last_line_shows_throughput(tmp_path, capsys, fake):
    write_lines(tmp_path / "in" / "a.jsonl", [record(f"a{k}", 3) for k in range(5)])
    assert label(tmp_path / "in", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "label: 5 dialogues in" in said
    assert "a person at 2 minutes a dialogue (assumed) needs 10 min" in said
    assert label(tmp_path / "in", tmp_path / "out") == 0
    assert "a person" not in capsys.readouterr().err


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


def test_label_real_model_any_sharding_same_bytes(tmp_path, tiny_model):
    """One process or two, shards of any size, another form: the same labels to the last bit."""
    from labeled import labeled_dialogue

    from labelgen.data.record import to_plain

    records = [{**to_plain(labeled_dialogue(seed)), "annotations": []} for seed in range(24)]
    write_lines(tmp_path / "in" / "a.jsonl", records)
    write_rows(tmp_path / "rows" / "a.parquet", records)

    def run(name: str, source: str, *more: str) -> Path:
        assert main(["label", str(tmp_path / source), str(tmp_path / name), "--model", str(tiny_model), *more]) == 0
        return tmp_path / name

    one = run("one", "in", "--workers", "1")
    two = run("two", "in", "--workers", "2", "--shard-dialogues", "5")
    rows = run("rows_out", "rows", "--workers", "1", "--shard-dialogues", "7")
    assert (one / "a.jsonl").read_bytes() == (two / "a.jsonl").read_bytes()
    from labelgen.data.log import read_file

    assert list(read_file(rows / "a.parquet")) == list(read_file(one / "a.jsonl"))
    said = json.loads((one / "a.jsonl").read_text().splitlines()[0])["annotations"][0]
    assert said["provenance"]["threads"] == 1
    assert main(["verify", str(two), "--input", str(tmp_path / "in")]) == 0
