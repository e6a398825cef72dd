"""What calibrate finds in answers whose truth is set: each part of the dialogues serves its own purpose."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from labelgen.confidence.certificate import Certificate
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, AtTurn, Label, NoLabel
from labelgen.data.split import part_of
from labelgen.evaluation.calibrate import PARTS, PURPOSE, Decide, certify_tasks, scale_tasks
from labelgen.metrics.results import Setting
from labelgen.model.calibration import TaskCalibration
from labelgen.tasks.evaluation import EvaluationTask, tasks_of_units

(QUALITY,) = tasks_of_units("quality", ("turn",), ("accuracy",), ("bad", "fair", "good"))
(INTENTS,) = tasks_of_units("intents", ("turn",), ("intent_accuracy",))
(OUTCOME,) = tasks_of_units("outcome", ("goal",), ("accuracy",), ("success", "failure"))
GOALS = EvaluationTask("goals", ("goals",), ("goal",), ("exact_goal_f1",))
ANNA = Setting("anna", None, False, resamples=100)

Said = Callable[[int, str], list[tuple[float, bool]]]
"""From the number of a dialogue and its part: of each turn the probability of what the model says, and whether it holds."""


def dialogue(k: int, turns: int = 1, *annotations: Annotation) -> Dialogue:
    return Dialogue(id=f"d{k}", turns=(Turn(request="a", response="b"),) * turns, annotations=annotations)


def part(k: int) -> str:
    return part_of(dialogue(k), PARTS, 0, PURPOSE)


def quality(turn: int, p: float) -> Label:
    return Label("quality", AtTurn(turn), "good", p, None, (("bad", (1 - p) / 2), ("fair", (1 - p) / 2), ("good", p)))


def rated(who: str, said: list[bool]) -> Annotation:
    return Annotation(
        who, "person", tuple(Label("quality", AtTurn(t), "good" if x else "bad") for t, x in enumerate(said))
    )


def world(count: int, said: Said) -> list[Dialogue]:
    made = []
    for k in range(count):
        own = said(k, part(k))
        model = Annotation("model", "model", tuple(quality(t, p) for t, (p, _) in enumerate(own)))
        made.append(dialogue(k, len(own), model, rated("anna", [right for _, right in own])))
    return made


def certificate(one: TaskCalibration) -> Certificate:
    assert one.certificate is not None
    return one.certificate


def found(
    dialogues: list[Dialogue], *questions: EvaluationTask, setting: Setting = ANNA, error: float = 0.1
) -> list[TaskCalibration]:
    scaled = scale_tasks(dialogues, questions, "model", setting)
    return certify_tasks(dialogues, questions, "model", setting, scaled, error, 0.95)


@pytest.mark.parametrize("wrong", ["scale", "choose", "certify", None])
def test_certificate_is_of_the_part_that_was_kept_for_it(wrong: str | None):
    [one] = found(world(400, lambda k, part: [(0.9 if k % 3 else 0.8, part != wrong)]), QUALITY)
    counts = {p.name: sum(part(k) == p.name for k in range(400)) for p in PARTS}
    assert one.measured["dialogues"] == counts
    assert certificate(one).most == 1
    if wrong == "certify":
        assert one.threshold is None
        assert certificate(one).errors == certificate(one).items > 0
    else:
        assert one.threshold is not None
        assert (certificate(one).errors, certificate(one).items) == (0, counts["certify"])


@pytest.mark.parametrize("wrong", [("scale",), ("choose",), ("scale", "choose"), ("certify",)])
def test_probabilities_are_scaled_by_the_first_part_where_the_second_agrees(wrong: tuple[str, ...]):
    """Half of what is said with .9 holds in these parts, .9 of it in the others."""
    [one] = found(world(600, lambda k, part: [(0.9, k % 2 == 0 if part in wrong else k % 10 != 0)]), QUALITY)
    assert (one.labels.of_all([0.05, 0.05, 0.9])[2] < 0.6) == (wrong == ("scale", "choose"))
    if wrong in (("scale",), ("choose",)):
        assert one.labels.kind == "none"


def test_coverage_and_precision_are_of_what_is_accepted():
    """Of each dialogue the first turn is sure and right, the second unsure and right half of the time."""
    [one] = found(world(400, lambda k, part: [(0.9, True), (0.6, k % 2 == 0)]), QUALITY)
    held = one.measured["dialogues"]["certify"]
    assert one.measured["answers"] == 2 * held
    assert one.measured["coverage"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert one.measured["precision"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (certificate(one).items, certificate(one).units, certificate(one).errors) == (held, held, 0)
    [every] = found(world(400, lambda k, part: [(0.9, True), (0.6, k % 2 == 0)]), QUALITY, error=0.4)
    assert every.measured["coverage"]["value"] == 1.0
    assert every.measured["precision"]["value"] == pytest.approx(0.75, abs=0.06)
    assert (
        every.measured["precision"]["low"] < every.measured["precision"]["value"] < every.measured["precision"]["high"]
    )


def division(k: int, wrong: bool, sure: float = 0.95) -> Dialogue:
    """The model divides two turns into two goals, and is not sure of the second. People have it in half of the dialogues; its
    outcome is then another one than the model says, and `wrong` changes the outcome of the first."""
    goals = [Label("goals", AtGoal((0,)), "goal", sure), Label("goals", AtGoal((1,)), "goal", 0.55)]
    said = [Label("outcome", x.at, "success", 0.9, None, (("success", 0.9), ("failure", 0.1))) for x in goals]
    given = goals[: 1 + k % 2]
    outcomes = [Label("outcome", x.at, "success" if t == 0 and not wrong else "failure") for t, x in enumerate(given)]
    model = Annotation("model", "model", (*goals, *said, quality(0, 0.9)))
    return dialogue(k, 2, model, Annotation("anna", "person", (*given, *outcomes, Label("quality", AtTurn(0), "good"))))


def test_what_is_said_of_goals_is_certified_on_goals_that_are_given():
    dialogues = [division(k, False) for k in range(400)]
    outcome, quality_, goals = found(dialogues, OUTCOME, QUALITY, GOALS)
    held = goals.measured["dialogues"]["certify"]
    assert [one.task for one in (outcome, quality_, goals)] == ["outcome", "quality", "goals"]
    assert goals.threshold is not None
    for one in (outcome, quality_, goals):
        assert (certificate(one).items, certificate(one).errors) == (held, 0)
    assert outcome.measured["answers"] == held
    assert goals.measured["answers"] == 2 * held


def overconfident(count: int, temperature: float, none: bool) -> list[Dialogue]:
    """One intent a turn, or none, with log-odds that many times too large."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(count):
        odds = rng.normal(0.5, 1)
        p, holds = float(1 / (1 + np.exp(-odds * temperature))), rng.random() < 1 / (1 + np.exp(-odds))
        at = AtTurn(0)
        model = (
            Annotation("model", "model", (), (NoLabel("intents", at, p),))
            if none
            else Annotation("model", "model", (Label("intents", at, "a", p),))
        )
        wanted = Annotation("anna", "person", (Label("intents", at, "a" if holds != none else "b"),))
        if none and holds:
            wanted = Annotation("anna", "person", (), (NoLabel("intents", at),))
        made.append(dialogue(k, 1, model, wanted))
    return made


@pytest.mark.parametrize("none", [False, True])
def test_probabilities_of_single_events_are_scaled_to_how_often_they_hold(none: bool):
    """Without a second part to choose by, by a temperature; with it, by what is best there."""
    dialogues = overconfident(3000, 3.0, none)
    [one] = found(dialogues, INTENTS)
    scaling, other = (one.none, one.labels) if none else (one.labels, one.none)
    for p in (0.1, 0.5, 0.9, 0.99):
        truth = 1 / (1 + np.exp(-np.log(p / (1 - p)) / 3.0))
        assert scaling.of(p) == pytest.approx(truth, abs=0.1)
    assert other.kind == "none"
    unsaid = [
        dialogue(k, 1, *(x.annotations[1:] if part(k) == "choose" else x.annotations)) for k, x in enumerate(dialogues)
    ]
    [one] = found(unsaid, INTENTS)
    scaling = one.none if none else one.labels
    assert scaling.kind == "temperature"
    assert scaling.temperature == pytest.approx(3.0, rel=0.25)


def test_weights_of_names_are_fitted_on_the_first_two_parts_and_judge_what_is_certified():
    """What is mostly taken for good is bad; said by its weight, bad is right."""
    rng = np.random.default_rng(1)
    made = []
    for k in range(900):
        p = 0.5 + 0.3 * rng.random()
        bad = rng.random() < 3 * (0.8 - p)
        label = Label("quality", AtTurn(0), "good", p, None, (("bad", 1 - p), ("fair", 0.0), ("good", p)))
        made.append(dialogue(k, 1, Annotation("model", "model", (label,)), rated("anna", [not bad])))
    plain, weighted = (
        certify_tasks(made, [QUALITY], "model", ANNA, scale_tasks(made, [QUALITY], "model", ANNA, decide), 0.45, 0.9)[0]
        for decide in get_args(Decide)
    )
    assert plain.labels.weights == ()
    assert weighted.labels.decide([0.4, 0.0, 0.6]) == 0
    held = [
        (d.annotations[0].labels[0], d.annotations[1].labels[0].name)
        for k, d in enumerate(made)
        if part(k) == "certify"
    ]
    assert weighted.threshold is not None
    right = 0
    for label, name in held:
        said = weighted.labels.of_all([p for _, p in label.distribution or ()])
        decided = ("bad", "fair", "good")[weighted.labels.decide(said)]
        if max(said[weighted.labels.decide(said)], 0.0) >= weighted.threshold:
            right += decided == name
    assert certificate(weighted).items - certificate(weighted).errors == right
