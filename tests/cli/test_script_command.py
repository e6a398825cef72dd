"""scripts/command.py: what stands at OUT is kept, and errors are told in the script's name."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import arguments, parsed, tells_errors, write_table

TABLE = {"title": "Café", "rows": [["model", {"value": 0.5, "low": 0.4, "high": 0.6}], ["nobody", None]]}


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    given = parsed(arguments("A table."), argv)
    write_table(given.out, TABLE)
    return 0


def test_a_table_is_written_once_and_replaced_by_force_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "table.json"
    assert main(["--out", str(out)]) == 0
    made = out.read_text(encoding="utf-8")
    assert json.loads(made) == TABLE
    assert "Café" in made
    out.write_text("of another run")
    assert main(["--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("test_script_command: ")
    assert out.read_text() == "of another run"
    assert main(["--out", str(out), "--force"]) == 0
    assert out.read_text(encoding="utf-8") == made


def test_without_a_place_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert not any(tmp_path.iterdir())


def test_a_script_that_makes_nothing_but_a_table_asks_for_its_place(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parsed(arguments("A table.", out_required=True), [])
    assert "--out" in capsys.readouterr().err
