"""Erasing a user: logs are filtered, and only the changed files are labeled again."""

from functools import partial
from pathlib import Path

from fake_annotator import FakeAnnotator
from some_logs import record, tree, write_lines, write_rows

from labelgen.cli.main import main
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify


def some_users(folder: Path) -> Path:
    write_lines(folder / "a.jsonl", [record("a0", user="u1"), '{"broken', record("a1", user="u2"), record("a2")])
    write_lines(folder / "sub" / "b.jsonl.gz", [record("b0", user="u2"), record("b1", user="u3")])
    write_rows(folder / "c.parquet", [record("c0", user="u1"), record("c1", user="u2")])
    return folder


def test_filter_leaves_user_out_and_copies_other_files(tmp_path, capsys):
    source, out, bad = some_users(tmp_path / "in"), tmp_path / "out", tmp_path / "bad.jsonl"
    words = ["data", "filter", str(source), str(out), "--without-user", "u1", "--max-bad-rate", "1"]
    assert main([*words, "--without-user", "u9", "--quarantine", str(bad)]) == 0
    assert set(tree(out)) == set(tree(source))
    assert (out / "sub" / "b.jsonl.gz").read_bytes() == (source / "sub" / "b.jsonl.gz").read_bytes()
    assert "1 of 3 dialogues left out" in capsys.readouterr().out
    assert b'"u1"' not in b"".join(tree(out).values())
    assert b"broken" in bad.read_bytes()
    assert main(["data", "filter", str(out / "a.jsonl"), str(tmp_path / "b.jsonl"), "--without-dialogue", "a2"]) == 0
    assert (tmp_path / "b.jsonl").read_bytes().count(b"\n") == 1


def test_filter_refuses_its_input_and_missing_ids(tmp_path):
    source = some_users(tmp_path / "in")
    before = tree(source)
    for out in (source, tmp_path, source / "new"):
        assert main(["data", "filter", str(source), str(out), "--without-user", "u1", "--force"]) == 2
    assert main(["data", "filter", str(source), str(tmp_path / "out")]) == 2
    assert tree(source) == before
    assert not (tmp_path / "out").exists()


def test_force_labels_only_changed_files(tmp_path):
    source, out, diary = tmp_path / "in", tmp_path / "labeled", tmp_path / "diary"
    write_lines(source / "a.jsonl", [record("a0", user="u1"), record("a1", user="u2")])
    write_lines(source / "b.jsonl", [record("b0", user="u2")])
    label(source, out, InlineEngine(FakeAnnotator), "model", {})
    assert main(["data", "filter", str(source), str(tmp_path / "less"), "--without-user", "u1"]) == 0
    assert any("a.jsonl of the input changed" in fault for fault in verify(out, tmp_path / "less"))
    label(tmp_path / "less", out, InlineEngine(partial(FakeAnnotator, diary=diary)), "model", {}, force=True)
    assert diary.read_text().split() == ["a1"]
    assert list(verify(out, tmp_path / "less")) == []
