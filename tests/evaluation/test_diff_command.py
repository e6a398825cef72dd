# mypy: disable-error-code="operator"
"""labelgen diff, from logs whose truth is set."""

import dataclasses
import json
import random
from datetime import date, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

import labelgen
from labelgen.cli.main import main
from labelgen.cli.pipeline import read_pipeline, stages_of
from labelgen.confidence.resampling import holm
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, Label
from labelgen.data.log import write_log

RELEASE = date(2024, 2, 12)


def outcome(bad: bool, p: float | None = None) -> Label:
    name = "failure" if bad else "success"
    shares = None if p is None else (("failure", p), ("success", 1 - p))
    return Label("outcome", AtGoal((0,)), name, None if p is None else max(p, 1 - p), None, shares)


def dialogue(k: int, rng: random.Random, later: bool, rate: float, people: bool) -> Dialogue:
    """One goal of one of 300 users, six weeks before the release or after it. In the car the release helps."""
    car = k % 2 == 0
    bad = rng.random() < (rate if car or not later else 0.4)
    p = min(0.99, max(0.01, (0.75 if bad else 0.2) + rng.gauss(0, 0.15)))
    goals = (Label("goals", AtGoal((0,)), "goal"),)
    model = Annotation("model", "model", (*goals, outcome(p > 0.5, p)))
    anna = Annotation("anna", "person", (*goals, outcome(bad)))
    return Dialogue(
        id=f"{later}{k}",
        user=f"u{rng.randrange(300)}",
        start=f"{RELEASE + timedelta(rng.randrange(42) - (0 if later else 42))}T10:00:00",
        device="car" if car else "speaker",
        extra=json.dumps({"version": "1.10" if later else "1.9"}),
        turns=(Turn(request="a", response="b"),),
        annotations=(anna, model) if people else (model,),
    )


def side(later: bool, rate: float, people: int, seed: int = 0) -> list[Dialogue]:
    rng = random.Random(f"{seed} {later}")
    return [dialogue(k, rng, later, rate, k < people) for k in range(900)]


@pytest.fixture
def logs(tmp_path: Path) -> tuple[str, str, str]:
    before, after = side(False, 0.4, 200), side(True, 0.1, 200)
    for name, log in (("before", before), ("after", after), ("both", after + before)):
        write_log(tmp_path / f"{name}.jsonl", log)
    first, second, both = (str(tmp_path / f"{name}.jsonl") for name in ("before", "after", "both"))
    return first, second, both


def run(out: Path, *words: str) -> dict:
    assert main(["diff", *words, "--reference", "anna", "--out", str(out), "--force"]) == 0
    [rate] = json.loads(out.read_text())["rates"]
    assert (rate["task"], rate["label"]) == ("outcome", "failure")
    return rate


def test_a_release_that_helps_in_the_car_is_found_there(logs, tmp_path, capsys):
    rate = run(tmp_path / "diff.json", *logs[:2], "--slice", "device", "--slice", "version")
    assert "people and model" in capsys.readouterr().out
    whole, car, speaker = rate["differences"]
    assert [(x["by"], x["slice"]) for x in rate["differences"]] == [
        (None, "all"),
        ("device", "car"),
        ("device", "speaker"),
    ]
    assert car["prediction_powered"]["low"] <= -0.3 <= car["prediction_powered"]["high"] < 0
    assert speaker["prediction_powered"]["low"] <= 0 <= speaker["prediction_powered"]["high"]
    assert [x["p_adjusted"] for x in (car, speaker)] == holm([x["p_value"] for x in (car, speaker)])
    assert whole["p_adjusted"] == whole["p_value"] < 0.01
    for x in rate["differences"]:
        powered, alone = x["prediction_powered"], x["people_alone"]
        assert powered["high"] - powered["low"] < 0.8 * (alone["high"] - alone["low"])
        assert x["labels"] < x["labels_people_alone"]
    # A model that hedges errs upwards where little fails, so its error changes with the rate.
    assert car["bias"]["low"] > 0
    assert speaker["bias"]["low"] <= 0 <= speaker["bias"]["high"]


def test_two_logs_a_version_and_a_date_are_the_same_sides(logs, tmp_path):
    before, after, both = logs
    rates = [
        run(tmp_path / "diff.json", before, after),
        run(tmp_path / "diff.json", both, "--by", "version"),
        run(tmp_path / "diff.json", both, "--by", "version", "--release", "1.10"),
        run(tmp_path / "diff.json", both, "--by", "week", "--release", str(RELEASE)),
    ]
    for rate in rates[1:]:
        for name in ("prediction_powered", "people_alone", "bias"):
            assert rate["differences"][0][name] == pytest.approx(rates[0]["differences"][0][name])
    assert [rate["differences"][0]["before"]["name"] for rate in rates] == ["before", "1.9", "before", "before"]
    for name in ("name", "side", "labeled", "p_value"):
        assert [x[name] for x in rates[0]["periods"]] == [x[name] for x in rates[3]["periods"]]


def test_without_labels_on_both_sides_there_is_no_difference(logs, tmp_path, capsys):
    write_log(tmp_path / "unlabeled.jsonl", side(True, 0.1, 3))
    [found] = run(tmp_path / "diff.json", logs[0], str(tmp_path / "unlabeled.jsonl"))["differences"]
    assert found["prediction_powered"]["value"] is None
    assert found["people_alone"]["value"] is None
    assert "3 in after" in found["reason"]
    assert found["labels"] == found["labels_people_alone"] > 100
    assert "biased differently" in capsys.readouterr().out


def test_a_model_that_is_biased_after_the_release_is_corrected_and_noticed():
    """The model says that nothing fails any more; people say that nothing changed."""
    said = Annotation("model", "model", (Label("goals", AtGoal((0,)), "goal"), outcome(False, 0.1)))
    blind = [replace(d, annotations=(*d.annotations[:-1], said)) for d in side(True, 0.4, 200)]
    [rate] = labelgen.diff(side(False, 0.4, 200), blind, reference="anna").rates
    [found] = rate.differences
    assert found.after.model < found.before.model - 0.2
    assert found.prediction_powered.low <= 0 <= found.prediction_powered.high
    assert found.bias.high < 0


def test_an_alarm_is_raised_where_users_changed_much_and_not_where_they_did_not(logs, tmp_path, capsys):
    write_log(tmp_path / "worse.jsonl", side(True, 0.99, 900))
    write_log(tmp_path / "well.jsonl", side(False, 0.1, 900))
    well = str(tmp_path / "well.jsonl")
    rate = run(tmp_path / "diff.json", well, str(tmp_path / "worse.jsonl"))
    assert rate["alarm"]["rises"]
    assert "alarm in 2024-" in capsys.readouterr().out
    assert run(tmp_path / "diff.json", well, well)["alarm"] is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["{before}"], 2),
        (["{before}", "{after}", "--release", "2024-02-12"], 2),
        (["{before}", "{after}", "--slice", "weather"], 2),
        (["{both}", "--by", "weather"], 2),
        (["{both}", "--by", "week", "--release", "2030-01-01"], 3),
        (["{before}", "--by", "version"], 3),
        (["{before}", "{after}", "--rate", "quality=bad"], 3),
        (["{before}", "{after}", "--annotator", "nobody"], 3),
    ],
)
def test_what_cannot_be_compared_is_refused(logs, words, code):
    names = dict(zip(("before", "after", "both"), logs, strict=True))
    assert main(["diff", *(word.format(**names) for word in words), "--reference", "anna"]) == code


def test_run_compares_weeks_around_the_release_where_init_finds_two_versions(logs, tmp_path):
    assert main(["init", logs[2], "--out", str(tmp_path / "p")]) == 0
    options = read_pipeline(tmp_path / "p" / "run.yaml")
    assert (options.by, options.release) == ("week", RELEASE.isoformat())
    [stage] = [stage for stage in stages_of(options) if stage.command == "diff"]
    options.out.mkdir()
    labeled = dataclasses.replace(stage, values={**stage.values, "log": [logs[2]]})
    labeled.run(force=False)
    assert stage.made is not None
    text = stage.made.read_text()
    assert text.count(">release<") == 1
    assert text.count("<circle") == 12
