"""labelgen rewrite mine: from a log to a table, and a refusal."""

import csv
from pathlib import Path

import pytest

from labelgen.cli.main import main


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "log.jsonl", "--dialogues", "30", "--annotated", "0"]) == 0
    return tmp_path


def test_table_has_the_rewrites_with_evidence_and_intervals(log: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["rewrite", "mine", "log.jsonl", "mined.csv", "--annotator", "truth", "--least-users", "2"]) == 0
    assert "rewrites in mined.csv" in capsys.readouterr().out
    with open("mined.csv", newline="") as file:
        rows = csv.DictReader(file)
        assert {"request", "rewrite", "users", "before_low", "change_high"} <= set(rows.fieldnames or ())
        assert all(float(row["change_low"]) > 0.0 for row in rows)
    assert main(["rewrite", "mine", "log.jsonl", "mined.csv", "--annotator", "truth"]) == 2


def test_mining_without_verdicts_is_refused(log: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["rewrite", "mine", "log.jsonl", "mined.csv"]) != 0
    assert "nothing says which" in capsys.readouterr().err
