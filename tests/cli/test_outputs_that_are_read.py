"""No output takes the place of what is read, nor of what is something else."""

import json
import sys
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue

from labelgen.cli.main import main
from labelgen.data.log import write_log

COMMANDS = {
    "validate": ["data", "validate", "LOG", "--quarantine", "LOG"],
    "folder": ["data", "validate", "FOLDER", "--quarantine", "LOG"],
    "other file": ["data", "validate", "LOG", "--quarantine", "OTHER"],
    "annotators": ["consensus", "LOG", "OUT", "--statistics", "LOG", "--force"],
    "split": ["data", "split", "LOG", "FOLDER", "--parts", "log=0.5,b=0.5", "--force"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_read_stays_as_it_is(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, other = tmp_path / "logs", tmp_path / "other.jsonl"
    log = folder / "log.jsonl"
    write_log(log, [labeled_dialogue(seed) for seed in range(6)], LABELS)
    log.write_bytes(b"broken{\n" + log.read_bytes())
    other.write_text('{"id": "d"}\n')
    before = log.read_bytes(), other.read_bytes()
    where = {"LOG": log, "FOLDER": folder, "OTHER": other, "OUT": tmp_path / "out.jsonl"}
    assert main([*(str(where.get(word, word)) for word in COMMANDS[name]), "--max-bad-rate", "1"]) == 2
    assert (log.read_bytes(), other.read_bytes()) == before
    assert "hint:" in capsys.readouterr().err


def test_an_older_quarantine_is_replaced(tmp_path: Path):
    log, bad = tmp_path / "log.jsonl", tmp_path / "quarantine.jsonl"
    log.write_text("broken{\n")
    for read in (log, log, tmp_path):
        assert main(["data", "validate", str(read), "--quarantine", str(bad), "--max-bad-rate", "1"]) == 0
        assert json.loads(bad.read_text())["line"] == 1


def test_a_split_into_other_parts_leaves_none_of_the_older_ones(tmp_path: Path):
    log, out = tmp_path / "log.jsonl", tmp_path / "parts"
    write_log(log, [labeled_dialogue(seed) for seed in range(9)], LABELS)
    assert main(["data", "split", str(log), str(out)]) == 0
    assert main(["data", "split", str(log), str(out), "--force"]) == 0
    assert main(["data", "split", str(log), str(out), "--parts", "train=0.5,test=0.5", "--force"]) == 2


def test_an_output_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = main(["data", "--help"])
        monkeypatch.undo()
    assert code == 5
    assert "No space left" in capsys.readouterr().err
