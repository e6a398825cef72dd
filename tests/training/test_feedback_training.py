"""scripts/measure_feedback_training.py and its companions: what each arm learns from, what is made again, which ratio
stands in the table."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import collect_feedback_training as collect
import feedback_arms as arms
import measure_feedback_training as measure
import pytest
from msgspec.structs import replace
from render_results import render

from labelgen.base.errors import UsageError
from labelgen.cli.main import main as labelgen
from labelgen.data.dialogue import Dialogue, Hypothesis, HypothesisIntent, Turn
from labelgen.data.labels import (
    FEEDBACK_MASKED,
    ON_GIVEN_GOALS,
    Annotation,
    AtGoal,
    AtTurn,
    Label,
    Target,
    answers,
    field_of,
)
from labelgen.data.log import Log, write_log
from labelgen.evaluation.tasks import tasks_of_units
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import with_signals
from labelgen.feedback.targets import feedback_targets
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions
from labelgen.training.corpus import ChosenTargets
from labelgen.training.options import TargetOptions

ROOT = Path(__file__).parents[2]
TASKS = ("outcome", "quality", "intents", "slots")


def with_targets(dialogue: Dialogue) -> Dialogue:
    heard = with_signals(dialogue)
    return replace(heard, targets=feedback_targets(heard, heard.signals, waterfall, TRUTH))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Dialogue]]:
    """Of each arm what it learns from."""
    folder = tmp_path_factory.mktemp("arms")
    made = map(with_targets, simulate(400, 5, WorldOptions(annotated=0.1)))
    write_log(folder / "targets.jsonl", made)
    assert arms.main(["learn", str(folder / "targets.jsonl"), str(folder)]) == 0
    return {arm: list(Log([folder / arm / "train.jsonl"])) for arm in arms.ARMS}


def test_arms_differ_in_targets_and_truth_alone(learned: dict[str, list[Dialogue]]):
    bare = [[replace(d, annotations=(), targets=()) for d in log] for log in learned.values()]
    assert bare[0] == bare[1] == bare[2]
    assert all([a.annotator for a in d.annotations] == [TRUTH] and not d.targets for d in learned["gold"])
    assert not any(d.annotations for d in learned["feedback"])
    assert any(d.targets for d in learned["feedback"])
    assert [d.targets for d in learned["mixed"]] == [d.targets for d in learned["feedback"]]


def test_gold_is_added_to_a_share_of_the_dialogues_that_their_ids_draw(learned: dict[str, list[Dialogue]]):
    told = {d.id for d in learned["mixed"] if d.annotations}
    assert 0.02 < len(told) / 400 < 0.09
    later = [replace(d, turns=()) for d in reversed(learned["gold"])]
    assert {d.id for d in arms.learned_from(later, "mixed") if d.annotations} == told


def test_where_gold_was_added_it_is_what_training_takes(learned: dict[str, list[Dialogue]]):
    choose = ChosenTargets(TargetOptions(annotators=(TRUTH,), feedback=True), TASKS)

    def fields(targets: Sequence[Target]) -> set[object]:
        return {field_of(t.task, t.at) for t in targets}

    for gold, feedback, mixed in zip(*learned.values(), strict=True):
        ours, of_gold, of_feedback = choose(mixed), choose(gold), choose(feedback)
        assert of_gold is not None
        if not mixed.annotations:
            assert ours == of_feedback
            continue
        assert ours is not None
        true = fields(of_gold.targets)
        rest = [t for t in mixed.targets if field_of(t.task, t.at) not in true and t.weight > 0]
        assert ours.targets == (*of_gold.targets, *rest)


def test_what_the_assistant_believed_is_an_answer_at_every_turn():
    turns = (
        Turn(request="play haze", response="", hypothesis=Hypothesis(intents=(HypothesisIntent(name="play"),))),
        Turn(request="thanks", response=""),
    )
    [believed] = arms.with_belief(Dialogue(id="d", turns=turns)).annotations
    assert believed.kind == "rule"
    assert {at: [x.name for x in found] for at, found in answers(believed, "intents").items()} == {
        AtTurn(0): ["play"],
        AtTurn(1): [],
    }
    assert set(answers(believed, "slots")) == {AtTurn(0), AtTurn(1)}


def judged(number: int, **says: str) -> Dialogue:
    """A dialogue of one turn that truly is to play; says: annotator -> intent."""
    said = [Annotation(TRUTH, "truth", (Label("intents", AtTurn(0), "play"),))]
    said += [Annotation(name, "model", (Label("intents", AtTurn(0), own),)) for name, own in says.items()]
    return Dialogue(id=f"d{number}", turns=(Turn(request="play", response=""),), annotations=tuple(said))


def log(right: dict[str, int], start: int, count: int = 20) -> list[Dialogue]:
    """right: annotator -> how many of the dialogues it is right about."""
    return [
        judged(start + k, **{name: "play" if k < most else "stop" for name, most in right.items()})
        for k in range(count)
    ]


def test_ratios_are_to_gold_on_the_same_side_of_the_evidence():
    hidden = {f"gold{FEEDBACK_MASKED}": 10, f"feedback{FEEDBACK_MASKED}": 9}
    logs = [
        log({**hidden, "gold": 20, "feedback": 15}, 0),
        log({**hidden, f"feedback{FEEDBACK_MASKED}": 10, "gold": 20, "feedback": 15}, 20),
    ]
    (question,) = tasks_of_units("intents", ("turn",), ("intent_accuracy",))
    rows = [row for row in collect.rows_of(question, logs) if row[1] == "intent_accuracy"]
    gold, feedback = rows
    assert [row[2] for row in rows] == ["gold", "feedback"]
    assert (gold[3]["value"], feedback[3]["value"]) == (0.5, 19 / 40)
    of_gold, by_seed, both_seen, gold_seen = feedback[4:8]
    assert of_gold["value"] == pytest.approx(19 / 20)
    assert of_gold["low"] < 0.95 < of_gold["high"] <= 1.0
    assert by_seed == "0.900 to 1.000"
    assert both_seen["value"] == pytest.approx(0.75)
    assert gold_seen["value"] == pytest.approx(19 / 40)


@pytest.mark.parametrize(("right", "reached"), [(97, "yes"), (96, "no")])
def test_the_aim_is_about_the_first_metric_alone(right: int, reached: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(collect.METRICS, "intents", ("intent_accuracy", "intent_macro_f1"))
    (question,) = tasks_of_units("intents", ("turn",), ("intent_accuracy",))
    said = {f"{name}{seen}": n for name, n in (("gold", 100), ("feedback", right)) for seen in ("", FEEDBACK_MASKED)}
    rows = collect.rows_of(question, [log(said, 0, 100)])
    assert [(row[1], row[-2], row[-1]) for row in rows if row[2] == "feedback"] == [
        ("intent_accuracy", 0.97, reached),
        ("intent_macro_f1", None, None),
    ]


def test_outcomes_are_asked_of_the_goals_of_the_truth():
    at = AtGoal((0,))
    true = (Label("goals", at, "goal"), Label("outcome", at, "failure"))
    said = [Annotation(TRUTH, "truth", true)]
    for arm, outcome in (("gold", "failure"), ("feedback", "success")):
        names = [f"{arm}{goals}{seen}" for goals in ("", ON_GIVEN_GOALS) for seen in ("", FEEDBACK_MASKED)]
        said += [
            Annotation(n, "model", (Label("outcome", at, outcome if ON_GIVEN_GOALS in n else "failure"),))
            for n in names
        ]
    turns = (Turn(request="play", response=""),)
    (question,) = tasks_of_units("outcome", ("goal",), ("failure_f1",), ("success", "failure"))
    rows = collect.rows_of(question, [[Dialogue(id="d", turns=turns, annotations=tuple(said))]])
    found = {row[2]: row[3]["value"] for row in rows if row[1] == "failure_f1"}
    assert found == {"gold": 1.0, "feedback": 0.0}


def test_a_method_is_chosen_by_the_mean_of_what_it_comes_to_without_evidence():
    def section(name: str, unit: str, metric: str, values: Mapping[str, float | None]) -> dict[str, object]:
        rows = [{"system": name, "metrics": {metric: {"value": value}}} for name, value in values.items()]
        return {"name": name, "unit": unit, "rows": rows}

    told = f"{ON_GIVEN_GOALS}{FEEDBACK_MASKED}"
    outcome = {"waterfall": 1.0, f"waterfall{told}": 0.5, "em": 0.0, f"em{ON_GIVEN_GOALS}": 0.1, f"em{told}": 0.7}
    slots = {"waterfall": 0.9, f"waterfall{FEEDBACK_MASKED}": 0.6, "em": 0.1, f"em{FEEDBACK_MASKED}": None}
    sections = [section("outcome", "goal", "macro_f1", outcome), section("intents and slots", "turn", "x", {})]
    made = {"model": {"waterfall": {}, "em": {}}, "tasks": sections}
    assert collect.choose([made]) == {"method": "em", "f1": {"waterfall": {"outcome": 0.5}, "em": {"outcome": 0.7}}}
    both = {**made, "tasks": [*sections, section("slots", "span", "slot_span_f1", slots)]}
    assert collect.choose([both, both])["method"] == "waterfall"


def test_a_run_goes_on_with_its_own_options_alone(tmp_path: Path):
    for _ in range(2):
        measure.keep_setting(tmp_path / "setting.json", {"steps": 2, "method": None})
    with pytest.raises(UsageError, match="steps"):
        measure.keep_setting(tmp_path / "setting.json", {"steps": 3, "method": None})


def test_what_is_made_is_not_made_again_and_a_failure_says_what_was_said(tmp_path: Path):
    stages = measure.Stages(tmp_path / "logs")
    made = tmp_path / "made"
    for _ in range(2):
        stages.run(made, "first", "bash", "-c", f"echo once >>{made}")
    assert made.read_text() == "once\n"
    with pytest.raises(measure.StageError, match="the disk is full") as caught:
        stages.run(tmp_path / "other", "second", "bash", "-c", "echo the disk is full >&2; exit 5")
    assert caught.value.code == 5


def test_where_one_stage_fails_the_other_is_stopped_and_none_is_begun(tmp_path: Path):
    stages = measure.Stages(tmp_path / "logs")
    os.mkfifo(tmp_path / "begun")
    # What this test should fail to stop ends with the tests.
    endless = f"echo begun >{tmp_path}/begun; exec tail --pid={os.getpid()} -f /dev/null"
    waits = f"read -r _ <{tmp_path}/begun; exit 5"
    later = tmp_path / "later"
    jobs = [
        partial(stages.run, tmp_path / "a", "a", "bash", "-c", endless),
        partial(stages.run, tmp_path / "b", "b", "bash", "-c", waits),
        partial(stages.run, later, "c", "touch", str(later)),
    ]
    with pytest.raises(measure.StageError) as caught:
        stages.side_by_side(jobs)
    assert caught.value.code in (5, -15)
    stages.run(tmp_path / "d", "d", sys.executable, "-c", "raise SystemExit(1)")


def test_a_whole_run_in_this_process_makes_a_table_and_nothing_twice(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
):
    """With a tiny encoder, two steps and a few dialogues; every command but for the first is carried out."""
    begun: list[str] = []

    def carry_out(stages: object, made: Path, name: str, *words: str) -> None:
        if made.exists():
            return
        begun.append(name)
        command = collect.main if measure.COLLECT in words else arms.main if words[0] != "labelgen" else labelgen
        assert command(words[1 if words[0] == "labelgen" else 2 :]) == 0
        assert made.exists()

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(measure.Stages, "run", carry_out)
    monkeypatch.setattr(measure.Stages, "side_by_side", lambda stages, jobs: [job() for job in jobs])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    shutil.copytree(tiny_encoder, tmp_path / "run" / "encoder")
    (tmp_path / "run" / "encoder" / "origin.json").write_text("{}")
    out = tmp_path / "table.json"
    words = [str(tmp_path / "run"), "--out", str(out), "--seeds", "1", "--dialogues", "24", "--steps", "2"]
    more = ["--", "--model.dialogue_width=32", "--model.dialogue_heads=2"]
    assert measure.main([*words, *more]) == 0
    assert sum("run-model" in name for name in begun) == len(measure.METHODS) + len(measure.ARMS)
    rendered = render(tmp_path)
    assert "| intents | intent_macro_f1 | feedback and 5% gold |" in rendered
    assert "chosen on seed 90, which is not reported" in rendered
    begun.clear()
    assert measure.main([*words, "--force", *more]) == 0
    assert begun == ["table"]
    assert render(tmp_path) == rendered.replace(" -- ", " --force -- ")


def test_a_seed_that_is_chosen_on_is_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [str(tmp_path / "run"), "--out", str(tmp_path / "t.json"), "--seeds", "1", "90"]
    assert measure.main(words) == 2
    assert "choose on another seed" in capsys.readouterr().err
