"""The notebooks run from top to bottom on a labeled log."""

import json
import re
from pathlib import Path

import pytest
from made_evaluations import labeled

from labelgen.data.log import write_log

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogues = labeled(12, 2)
    write_log(tmp_path / "labels" / "a.jsonl", dialogues)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    scope: dict[str, object] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "a notebook is kept without outputs"
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), scope)
    shown = capsys.readouterr().out
    assert f"{len(dialogues)} dialogues, {sum(len(d.turns) for d in dialogues)} turns" in shown
    for word in ("model", "anna", "intents", "slots"):
        assert re.search(rf"\b{word}\b", shown)
    most = max(dialogues, key=lambda d: sum(x.task == "goals" for x in d.annotations[-1].labels))
    assert most.id in shown


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
