"""scripts/measure_asking.py: what it counts, and that all strategies get the same answers."""

import json
from pathlib import Path

import measure_asking as script
import pytest


def test_answers_are_those_of_the_world() -> None:
    heard = script.hear(3, 120)
    assert script.hear(3, 20).said == heard.said[: len(script.hear(3, 20).said)]
    bad = [said for said, bad in zip(heard.said, heard.bad, strict=True) if bad]
    good = [said for said, bad in zip(heard.said, heard.bad, strict=True) if not bad]
    # The unserved answer more often, and nearly everyone says what is true.
    assert sum(s is not None for s in bad) / len(bad) > sum(s is not None for s in good) / len(good)
    assert sum(s == "bad" for s in bad) > 10 * sum(s == "good" for s in bad)
    assert not any(s.kind == "answer" for item in heard.items for s in item.signals)


def test_the_table_holds_every_strategy_and_budget(tmp_path: Path) -> None:
    table = script.measure([0, 1], 40, 20, (5, 10, 20))
    told = {(row[0], row[1]): row for row in table["rows"]}
    assert set(told) == {("nobody", 0), ("truth of all turns", None)} | {
        (strategy, budget) for strategy in script.STRATEGIES for budget in (5, 10, 20)
    }
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    gain, random = told["gain", 10], told["random", 20]
    assert gain[7]["value"] == pytest.approx(gain[4]["value"] - random[4]["value"], abs=2e-4)
    assert gain[4]["low"] <= gain[4]["value"] <= gain[4]["high"]
    assert 0 < gain[2] <= 10
    assert told["gain", 20][7] is None
    assert told["random", 20][6] is None
    assert json.loads(json.dumps(table)) == json.loads(json.dumps(script.measure([0, 1], 40, 20, (5, 10, 20))))
