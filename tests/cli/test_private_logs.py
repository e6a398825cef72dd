"""What is made from a log may be read by those who may read the log, and by nobody else."""

import os
from functools import partial
from pathlib import Path

import pytest
from fake_annotator import DieAfter, FakeAnnotator
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from some_logs import record, write_lines

import labelgen.steps.label
from labelgen.base.errors import ResourceError
from labelgen.cli.main import main
from labelgen.data.dialogue import Signal
from labelgen.data.log import write_log
from labelgen.labeling.engines import local_engine
from labelgen.labeling.run import label

COMMANDS = {
    "convert": ["data", "convert", "LOG", "OUT/log.parquet", "--quarantine", "OUT/bad.jsonl"],
    "split": ["data", "split", "LOG", "OUT/parts"],
    "signals": ["feedback", "signals", "LOG", "OUT/signals.jsonl"],
    "aggregate": ["feedback", "aggregate", "LOG", "OUT/targets.jsonl"],
    "consensus": ["consensus", "LOG", "OUT/agreed.jsonl", "--statistics", "OUT/people.json"],
    "sample": ["review", "sample", "LOG", "OUT/sample.jsonl", "--count", "3", "--strategy", "audit"],
    "export": ["review", "export", "LOG", "OUT/review", "--to", "label-studio"],
    "evaluate": ["evaluate", "LOG", "--reference", "anna", "--out", "OUT/evaluation"],
    "label": ["label", "LOG", "OUT/labeled", "--model", "m", "--workers", "1"],
}


UMASK = os.umask(0o022)
os.umask(UMASK)


def modes(folder: Path) -> set[str]:
    return {f"{path.stat().st_mode & 0o777:o}" for path in folder.rglob("*") if path.is_file()}


def hiding(bits: int) -> set[str]:
    """The one mode of files that hide so much."""
    return {f"{0o666 & ~(UMASK | bits):o}"}


def made(folder: Path, name: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Modes of what a command makes from a log of that mode, with a record that is set aside."""
    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator())
    log, out = folder / "in" / "log.jsonl", folder / "out"
    answer = Signal(kind="answer", turns=(0,), vote="good", explicit=True, evidence=(0,))
    dialogues = [replace(labeled_dialogue(seed, 2), signals=(answer,)) for seed in range(8)]
    answered = [
        replace(d, annotations=(*d.annotations, replace(d.annotations[0], annotator="m", kind="model")))
        for d in dialogues
    ]
    write_log(log, answered, LABELS)
    log.write_bytes(log.read_bytes() + b"broken{\n")
    log.chmod(mode)
    out.mkdir()
    where = {"LOG": str(log)}
    words = [where.get(word, word.replace("OUT", str(out))) for word in COMMANDS[name]]
    assert main([*words, "--max-bad-rate", "1"]) == 0
    assert os.umask(UMASK) == UMASK, "the command gives back what it narrowed"
    return modes(out)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_made_from_a_private_log_is_private(name, tmp_path, monkeypatch):
    assert made(tmp_path, name, 0o600, monkeypatch) == hiding(0o077)


@pytest.mark.parametrize(("mode", "hidden"), [(0o640, 0o007), (0o444, 0), (0o644, 0)])
def test_who_may_read_the_log_may_read_what_is_made_from_it(mode, hidden, tmp_path, monkeypatch):
    assert made(tmp_path, "convert", mode, monkeypatch) == hiding(hidden)


def test_one_private_file_makes_all_labels_of_a_folder_private(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    write_lines(tmp_path / "in" / "sub" / "b.jsonl.gz", [record("b"), "{"])
    (tmp_path / "in" / "sub" / "b.jsonl.gz").chmod(0o600)
    with local_engine(FakeAnnotator, 2) as engine:
        label(tmp_path / "in", tmp_path / "out", engine, "model", {})
    assert modes(tmp_path / "out") == hiding(0o077)
    assert f"{(tmp_path / 'out').stat().st_mode & 0o777:o}" == "700"


def test_what_a_killed_run_leaves_is_private_too(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", [record(f"a{k}") for k in range(8)])
    (tmp_path / "in" / "a.jsonl").chmod(0o600)
    with pytest.raises(ResourceError), local_engine(partial(FakeAnnotator, before=DieAfter(2)), 2) as engine:
        label(tmp_path / "in", tmp_path / "out", engine, "model", {}, 1)
    assert (tmp_path / "out" / ".labeling" / "ledger").exists()
    assert modes(tmp_path / "out") == hiding(0o077)


def test_the_weights_of_a_model_have_the_mode_of_their_neighbors(tiny_model):
    assert len(modes(tiny_model)) == 1
