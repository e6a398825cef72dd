"""Several runs beside each other: means and ranges of seeds, the interval of a single run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from labeled import labeled_dialogue
from msgspec.structs import replace

from labelgen import write_log
from labelgen.data.labels import Annotation, AtTurn, Label

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_quality_runs.py"


def says(name: str, kind: str, dialogue, word: str) -> Annotation:
    labels = tuple(Label("quality", AtTurn(t), word) for t in range(len(dialogue.turns)))
    return Annotation(name, kind, labels)


def run_of(folder: Path, word: str) -> Path:
    """Three people say good of every turn; the model says the word."""
    dialogues = []
    for seed in range(6):
        one = replace(labeled_dialogue(seed, turns=3), annotations=(), source="log")
        people = tuple(says(f"p{k}", "person", one, "good") for k in range(3))
        dialogues.append(replace(one, annotations=(*people, says("model", "model", one, word))))
    folder.mkdir()
    write_log(folder / "log.jsonl", dialogues)
    return folder


def test_seeds_make_one_row_and_a_single_run_has_an_interval(tmp_path):
    right, wrong = run_of(tmp_path / "a", "good"), run_of(tmp_path / "b", "bad")
    out = tmp_path / "t.json"
    command = [sys.executable, str(SCRIPT), f"valid={right}", f"valid={wrong}", f"folds={right}", "--order", "4"]
    command += ["--title", "T", "--command", "C", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    table = json.loads(out.read_text(encoding="utf-8"))
    rows = {(row[1], row[2], row[3]): row for row in table["rows"]}
    assert all(len(row) == len(table["columns"]) for row in table["rows"])
    assert rows["valid", "of all", "accuracy"][4:8] == [0.5, 0.0, 1.0, 2]
    one = rows["folds", "of the others", "accuracy"]
    assert (one[4]["value"], one[5:8]) == (1.0, [None, None, 1])
    assert one[8]["value"] == pytest.approx(1.0)
    assert rows["valid", "of all", "accuracy"][9] == 18


def test_trainings_of_the_same_log_stand_in_one_table(tmp_path):
    script, out = SCRIPT.with_name("measure_quality.py"), tmp_path / "t.json"
    right, wrong = run_of(tmp_path / "a", "good"), run_of(tmp_path / "b", "bad")
    command = [sys.executable, str(script), "--order", "4", "--title", "T", "--command", "C", "--out", str(out)]
    for seed, run in (("0", right), ("1", wrong)):
        more = ["--training", seed, "--judged", str(right / "log.jsonl")]
        subprocess.run([*command, str(run), *more], check=True, capture_output=True)
    table = json.loads(out.read_text())
    accuracy = next(row for row in table["rows"] if row[1:3] == ["of all", "accuracy"])
    assert (accuracy[3]["least"], accuracy[3]["value"], accuracy[3]["greatest"]) == (0.0, 0.5, 1.0)
    assert table["command"] == "for seed in 0 1; do SEED=$seed C; done"
    assert subprocess.run([*command, str(right), "--training", "2"], capture_output=True).returncode == 2


def test_an_item_on_which_the_judged_annotator_makes_a_tie_counts(tmp_path):
    """Two say good and two bad: with one of them left out, the other three are two against one, so every item is judged."""
    dialogues = []
    for seed in range(6):
        one = replace(labeled_dialogue(seed, turns=3), annotations=(), source="log")
        people = tuple(says(f"p{k}", "person", one, "good" if k < 2 else "bad") for k in range(4))
        dialogues.append(replace(one, annotations=(*people, says("model", "model", one, "good"))))
    log, out = tmp_path / "log.jsonl", tmp_path / "t.json"
    write_log(log, dialogues)
    command = [sys.executable, str(SCRIPT.with_name("measure_quality.py")), str(log), "--order", "4", "--title", "T"]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    rows = {(row[1], row[2]): row for row in json.loads(out.read_text())["rows"]}
    assert rows["of the others", "accuracy"][-1] == 6 * 3 * 4
    assert rows["of the others", "accuracy"][4]["value"] == 0.0
    assert rows["of the others", "accuracy"][3]["value"] == 0.5
    assert rows["of all", "accuracy"][-1] == 0
