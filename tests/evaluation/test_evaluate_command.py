"""`labelgen evaluate` and `labelgen consensus` from the outside."""

import json
from pathlib import Path

import pytest
from labeled import labeled_dialogue
from msgspec.structs import replace

from labelgen.base.files import digest_file
from labelgen.cli.main import main
from labelgen.data.log import write_log
from labelgen.feedback.signal import mask_feedback
from labelgen.metrics import METRICS
from labelgen.metrics.results import SystemName
from labelgen.simulator.log import simulate


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A simulated log of 40 dialogues with four people, its truth as predictions, and a training part that shares two
    dialogues with it."""
    folder = tmp_path_factory.mktemp("logs")
    dialogues = list(simulate(40, 1))
    write_log(folder / "log.jsonl", dialogues)
    truth = [
        replace(
            d,
            annotations=tuple(replace(a, annotator="net", kind="model") for a in d.annotations if a.kind == "truth"),
        )
        for d in dialogues
    ]
    write_log(folder / "net.jsonl", truth)
    copies = [replace(d, id=f"copy-{d.id}") for d in dialogues[:2]]
    write_log(folder / "train.jsonl", [*simulate(20, 7), *copies])
    return folder


def run(*words):
    return main(["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def done(logs):
    words = ("--predictions", logs / "net.jsonl", "--train", logs / "train.jsonl", "--resamples", 50)
    assert run(logs / "log.jsonl", *words, "--out", logs / "e") == 0
    return logs / "e"


def test_it_writes_numbers_predictions_and_a_report(done, capsys):
    found = json.loads((done / "evaluation.json").read_text())
    assert found["data"]["left_out"] == [
        {"reason": "all requests equal those of a training dialogue", "items": None, "dialogues": 2}
    ]
    assert found["data"]["dialogues"] == 38
    assert found["data"]["digest"] == digest_file(done / "predictions.jsonl")
    plain = [f"baseline: {name}" for name in ("bag of words", "constant per source", "majority class")]
    assert [str(SystemName(**one)) for one in found["systems"]] == [
        "net",
        *(f"{name}{goals}" for name in plain[:2] for goals in ("", " on the reference's goals")),
        "baseline: rule",
        *(f"{plain[2]}{goals}" for goals in ("", " on the reference's goals")),
    ]
    names = [task["name"] for task in found["tasks"]]
    assert names == ["goals", "outcome", "quality, turn", "quality, dialogue", "intents", "slots", "intents and slots"]
    for task in found["tasks"]:
        assert [row["system"] for row in task["rows"]][:2] == ["net", "human baseline"]
        main_metric = {row["system"]: row["metrics"][task["main_metric"]] for row in task["rows"]}
        assert main_metric["net"]["value"] > main_metric["human baseline"]["value"]
        assert main_metric["net"]["low"] <= main_metric["net"]["value"] <= main_metric["net"]["high"]
    assert "<html" in (done / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["LOG", "--out", "o", "--reference", "nobody"], 2, "nobody annotated as nobody"),
        (["LOG", "--out", "o", "--annotators", "x", "--annotators", "y"], 2, "nobody annotated as x, y"),
        (["LOG", "--out", "o", "--annotators", "kind=llm"], 2, "'kind=llm' names no people"),
        (
            ["LOG", "--out", "o", "--task", "order", "--predictions", "NET"],
            3,
            "no annotation by a person answers order",
        ),
        (["LOG", "--out", "o", "--task", "outcome"], 2, "give --model or --predictions"),
        (["EMPTY", "--out", "o"], 3, "the log holds no dialogue"),
        (["LOG", "--out", "o", "--task", "outcome", "--min-annotators", "9"], 3, "no dialogue is left: fewer than 9"),
        (["LOG", "--out", "o", "--model", "m", "--predictions", "p"], 2, "give one of the two"),
        (["LOG", "--out", "o", "--task", "outcomes"], 2, "did you mean 'outcome'"),
    ],
)
def test_what_cannot_be_judged_is_refused(logs, tmp_path, monkeypatch, capsys, words, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    named = {"LOG": logs / "log.jsonl", "NET": logs / "net.jsonl", "EMPTY": "empty.jsonl"}
    assert run(*(named.get(word, word) for word in words)) == code
    assert said in capsys.readouterr().err
    # Nothing is left behind, so the fixed command needs no --force.
    assert not (tmp_path / "o").exists()


def test_every_metric_is_described():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    assert {name for name in METRICS if f"`{name}`" not in page} == set()


def test_a_model_is_judged_from_end_to_end_and_on_given_goals(tiny_model, tmp_path, capsys):
    dialogues = [labeled_dialogue(seed) for seed in range(12)]
    write_log(tmp_path / "log.jsonl", dialogues)
    out = tmp_path / "e"
    words = (tmp_path / "log.jsonl", "--model", tiny_model, "--reference", "anna", "--resamples", 20)
    assert run(*words, "--out", out) == 0
    found = json.loads((out / "evaluation.json").read_text())
    assert found["model"]["digest"] == digest_file(tiny_model / "digests.json")
    seen = ["model", "model on the reference's goals"]
    assert [str(SystemName(**one)) for one in found["systems"]] == [
        *seen,
        *(f"{name}, feedback masked" for name in seen),
    ]
    assert found["data"]["with_feedback"] == sum(mask_feedback(d) != d for d in dialogues) > 0
    outcome = next(task for task in found["tasks"] if task["name"] == "outcome")
    rows = {row["system"]: row for row in outcome["rows"]}
    assert rows["model on the reference's goals"]["answered"] == 1.0
    assert rows["model"]["answered"] < 1.0
    assert rows["model on the reference's goals"]["metrics"]["failure_auprc"]["value"] is not None
    pairs = {(r["system"], r["opponent"]) for task in found["tasks"] for r in task["ratios"]}
    assert pairs == {(f"{name}, feedback masked", name) for name in seen}
    page = (out / "report.html").read_text()
    assert "dialogues carry feedback" in page
    assert "model, feedback masked" in page
    assert "model, feedback masked" in capsys.readouterr().out
