"""scripts/measure_signals.py against counting by hand and a naive reference."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure_signals as script
import numpy as np
import pytest
from heard import talk
from sklearn.metrics import average_precision_score

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, AtTurn, Label
from labelgen.data.log import Log, write_log
from labelgen.feedback.items import Item
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import find_signals
from labelgen.simulator.log import simulate


def judged(name: str, lines: Sequence[str], ratings: Sequence[float], outcome: str) -> Dialogue:
    goal = AtGoal(tuple(range(len(ratings))))
    labels = [Label("goals", goal, "goal"), Label("outcome", goal, outcome)]
    labels += [Label("quality", AtTurn(t), "bad" if r < 3 else "good", value=r) for t, r in enumerate(ratings)]
    return talk(*lines, id=name, annotations=(Annotation("truth", "truth", tuple(labels)),))


LOG = [
    judged("a", ("play haze", "Playing.", "thanks", "Welcome."), (5.0, 5.0), "success"),
    judged("b", ("play haze", "Playing Rain.", "thanks", "Welcome."), (1.0, 5.0), "success"),
    judged("c", ("play haze", "I don't know it.", "never mind", "Ok."), (2.0, 4.0), "failure"),
    judged("d", ("rain?", "No."), (4.0,), "success"),
]


def rows(table: dict[str, Any]) -> dict[tuple[str, str, str], tuple[int, float, float, float]]:
    return {(r[0], r[1], r[2]): (r[3], r[4]["value"], r[5], r[6]["value"]) for r in table["rows"]}


def test_what_can_be_counted_by_hand(tmp_path: Path) -> None:
    write_log(tmp_path / "log.jsonl", LOG)
    table = script.measure(Log([tmp_path / "log.jsonl"]), "truth")
    found = rows(table)
    assert found["quality", "gratitude", "good"] == (2, 0.5, round(5 / 7, 4), 0.2)
    assert found["quality", "stop", "bad"] == (1, 1.0, round(2 / 7, 4), 0.5)
    assert found["outcome", "stop", "bad"] == (1, 1.0, 0.25, 1.0)
    assert found["outcome", "gratitude", "good"] == (2, 1.0, 0.75, round(2 / 3, 4))
    assert ("quality", "rating", "good") not in found
    without = script.measure(Log([tmp_path / "log.jsonl"]), "truth", ["gratitude"])
    assert ("quality", "gratitude", "good") not in rows(without)
    assert found["quality", "waterfall, all", "bad"] == rows(without)["quality", "waterfall, all", "bad"]


def test_against_a_naive_reference(tmp_path: Path) -> None:
    write_log(tmp_path / "log.jsonl", simulate(60, seed=5))
    table = script.measure(Log([tmp_path / "log.jsonl"]), "truth", count=50)
    bad, scores = [], []
    for dialogue in simulate(60, seed=5):
        signals = find_signals(dialogue)
        for label in dialogue.annotation("truth").labels:  # type: ignore[union-attr]
            if label.task == "quality" and isinstance(label.at, AtTurn):
                whole = len(dialogue.turns) > 1
                own = [
                    s
                    for s in signals
                    if label.at.turn in s.turns and not (whole and len(s.turns) == len(dialogue.turns))
                ]
                posterior = waterfall(Item(dialogue, label.at, tuple(own)))
                bad.append(label.value < 3)  # type: ignore[operator]
                scores.append(0.5 if posterior is None else 1.0 - posterior.good)
    row = next(r for r in table["rows"] if r[:3] == ["quality", "waterfall, all", "bad"])
    leaning = np.array(scores) > 0.5
    assert row[3] == leaning.sum()
    assert row[4]["value"] == pytest.approx(np.array(bad)[leaning].mean(), abs=1e-4)
    assert row[6]["value"] == pytest.approx(leaning[np.array(bad)].mean(), abs=1e-4)
    assert row[7]["value"] == pytest.approx(average_precision_score(bad, scores), abs=1e-4)
    assert row[7]["low"] < row[7]["value"] < row[7]["high"]


def test_the_same_seed_gives_the_same_table(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.json"
    write_log(log, LOG)
    words = [str(log), "--against", "truth", "--json", str(out), "--resamples", "50"]
    assert script.main(words) == 0
    first = json.loads(out.read_text())
    assert script.main(words) == 2
    assert script.main([*words, "--force"]) == 0
    assert json.loads(out.read_text()) == first
    assert first["command"] == f"python scripts/measure_signals.py {log} --against truth --seed 0"
    assert {len(row) for row in first["rows"]} == {len(first["columns"])}


def test_a_log_that_nobody_judged_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    write_log(log, [talk("rain?", "No.")])
    assert script.main([str(log), "--against", "truth"]) == 3
    assert "no annotation of kind truth" in capsys.readouterr().err
    write_log(log, [judged("quiet", ("rain?", "No."), (4.0,), "success")], force=True)
    assert script.main([str(log), "--against", "truth", "--resamples", "10"]) == 0
    assert "1 places of quality" in capsys.readouterr().out
