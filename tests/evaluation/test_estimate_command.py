"""labelgen estimate, from logs whose truth is set."""

import json
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Abstained, Annotation, AtDialogue, AtGoal, Field, Label, NoLabel
from labelgen.data.log import write_log
from labelgen.evaluation.estimate import estimate
from labelgen.tasks.evaluation import tasks_of_units


def outcome(turn: int, good: bool, p: float | None = None) -> Label:
    name = "success" if good else "failure"
    distribution = None if p is None else (("success", p), ("failure", 1 - p))
    return Label("outcome", AtGoal((turn,)), name, None if p is None else max(p, 1 - p), None, distribution)


def dialogue(k: int, rng: random.Random, people: bool) -> Dialogue:
    """Every dialogue has one goal a turn, reached in 7 of 10; one in ten has none. The model is sure, or withholds."""
    turns = 0 if k % 10 == 9 else rng.choice((1, 2, 3))
    goals = tuple(Label("goals", AtGoal((t,)), "goal") for t in range(turns))
    none = () if turns else (NoLabel("goals", AtDialogue()),)
    truth = [rng.random() < 0.7 for _ in range(turns)]
    said = [outcome(t, good, 0.9 if good else 0.2) for t, good in enumerate(truth)]
    held = tuple(Abstained(Field("outcome", x.at), (x,)) for x in said if x.distribution and x.distribution[0][1] < 0.5)
    kept = tuple(x for x in said if x.at not in {a.field.at for a in held})
    model = Annotation("model", "model", (*goals, *kept), none, held)
    anna = Annotation("anna", "person", (*goals, *(outcome(t, good) for t, good in enumerate(truth))), none)
    return Dialogue(
        id=f"d{k}",
        device="car" if k % 2 else "speaker",
        turns=tuple(Turn(request="a", response="b") for _ in range(turns)),
        annotations=(anna, model) if people else (model,),
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rng = random.Random(0)
    write_log(tmp_path / "log.jsonl", [dialogue(k, rng, k < 60) for k in range(400)])
    return tmp_path / "log.jsonl"


def test_a_rate_overall_and_in_slices(log, tmp_path, capsys):
    words = ["estimate", str(log), "--reference", "anna", "--slice", "device", "--out", str(tmp_path / "rates.json")]
    assert main(words) == 0
    assert "people and model" in capsys.readouterr().out
    rows = json.loads((tmp_path / "rates.json").read_text())
    assert [(r["slice"], r["dialogues"], r["labeled_by_people"]) for r in rows] == [
        ("all", 400, 60),
        ("car", 200, 30),
        ("speaker", 200, 30),
    ]
    assert rows[0]["prediction_powered"]["low"] <= 0.7 <= rows[0]["prediction_powered"]["high"]
    for row in rows:
        alone, powered = row["people_alone"], row["prediction_powered"]
        assert powered["high"] - powered["low"] < 0.8 * (alone["high"] - alone["low"])
    assert main(words) == 2


def test_planned_intervals_are_those_of_as_many_dialogues(tmp_path):
    rng = random.Random(1)
    log = [dialogue(k, rng, k < 400) for k in range(800)]
    (task,) = tasks_of_units("outcome", ("goal",), ("accuracy",), ("success", "failure"))
    few = [replace(d, annotations=d.annotations[-1:]) if k >= 100 else d for k, d in enumerate(log)]
    [row], [wanted] = (
        estimate(one, task, "success", "model", "anna", planned=n) for one, n in ((few, 400), (log, None))
    )
    for kind in ("people_alone", "prediction_powered"):
        width, expected = (
            one[name]["high"] - one[name]["low"] for one, name in ((row, f"planned_{kind}"), (wanted, kind))
        )
        assert width == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--annotator", "nobody"], 3),
        (["--slice", "weather"], 2),
        (["--task", "intents"], 2),
        (["--label", "victory"], 2),
        (["--confidence", "1"], 2),
        (["--plan", "3"], 2),
    ],
)
def test_what_cannot_be_estimated_is_said(log, words, code):
    assert main(["estimate", str(log), "--reference", "anna", *words]) == code


def test_goals_are_those_of_the_model_where_a_log_is_sliced_by_them(log, tmp_path):
    """People divided few dialogues; the others would be in no slice."""
    out = tmp_path / "rates.json"
    assert main(["estimate", str(log), "--reference", "anna", "--slice", "interleaved", "--out", str(out)]) == 0
    every, *slices = json.loads(out.read_text())
    assert sum(row["dialogues"] for row in slices) == every["dialogues"] == 400
    assert sum(row["labeled_by_people"] for row in slices) == every["labeled_by_people"] == 60
