"""The left-out protocol on cases whose answer is known."""

import random

import pytest
from made_evaluations import evaluate

from labelgen.agreement.consensus import consensus
from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtTurn, Label, NoLabel
from labelgen.evaluation.evaluate import Description
from labelgen.evaluation.measure import items_of
from labelgen.evaluation.protocol import AnnotatorStatistics, Protocol, people_of, with_reference
from labelgen.metrics.results import HUMAN, Setting
from labelgen.tasks.evaluation import EvaluationTask, exclusive_names, tasks_of_units

NAMES = ("bad", "good")
(QUALITY,) = tasks_of_units("quality", ("turn",), ("accuracy", "bad_f1", "ece"), ("bad", "fair", "good"))
GOALS = EvaluationTask("goals", ("goals",), ("goal",), ("exact_goal_f1",))
(OUTCOME,) = tasks_of_units("outcome", ("goal",), ("accuracy",), ("success", "failure"))


def dialogue(k, annotations, turns=1, **more):
    return Dialogue(
        id=f"d{k}", turns=(Turn(request="x", response="y"),) * turns, annotations=tuple(annotations), **more
    )


def rates(name, said, kind="person", probability=None):
    """An annotation with one quality a turn; None leaves the turn."""
    labels = [Label("quality", AtTurn(t), n, probability) for t, n in enumerate(said) if n is not None]
    return Annotation(name, kind, tuple(labels))


def judge(dialogues, questions=(QUALITY,), candidates=("model",), setting=None):
    setting = setting or Setting(resamples=200)
    dialogues = with_reference(dialogues, questions, setting)
    return evaluate(dialogues, questions, candidates, setting, Description("test"))


def section_of(found, name="quality"):
    return next(task for task in found["tasks"] if task["name"] == name)


def metric_of(section, candidate, metric):
    return next(r for r in section["rows"] if r["system"] == candidate)["metrics"][metric]


def crowd(count, people, error, seed=0, names=NAMES):
    """Dialogues of five turns; each person errs at that rate, alone; the model never does."""
    rng = random.Random(seed)
    out = []
    for k in range(count):
        truth = [rng.choice(names) for _ in range(5)]
        said = [rates("model", truth, "model", 0.9)]
        for p in range(people):
            wrong = [names[1 - names.index(n)] if rng.random() < error else n for n in truth]
            said.append(rates(f"{k}/r{p}", wrong))
        out.append(dialogue(k, said, turns=5))
    return out


def test_a_person_is_judged_as_a_model_who_says_the_same():
    """A model that repeats one person's answers gets that person's score in the trials of that person."""
    dialogues = []
    for k, one in enumerate(crowd(60, 3, 0.3, seed=2)):
        first = next(a for a in one.annotations if a.kind == "person")
        others = [a for a in one.annotations if a.kind == "person"]
        copy = Annotation("model", "model", first.labels)
        dialogues.append(dialogue(k, [*others, copy], turns=5))
    setting = Setting(resamples=50)
    trials = Protocol(dialogues, [QUALITY], setting).judgments(QUALITY).all
    ours, theirs = (items_of(trials, dialogues, QUALITY, name) for name in ("model", HUMAN))
    mine = [
        k for k, t in enumerate(trials) if t.person == {x.at: (x,) for x in dialogues[t.dialogue].annotations[0].labels}
    ]
    assert len(mine) >= 50
    assert all(ours[k] == theirs[k] for k in mine)


def test_what_a_system_leaves_is_a_miss_and_what_a_person_was_not_asked_is_none():
    people = [rates("ann", ["good", "good"]), rates("ben", ["good", "good"]), rates("cid", ["good", None])]
    extra = rates("dan", ["good", "good"])
    section = section_of(judge([dialogue(0, [*people, extra, rates("model", ["good", None], "model")], turns=2)]))
    assert section["items"] == 7
    assert {"reason": "the judged annotator left it unanswered", "items": 1, "dialogues": None} in section["left_out"]
    assert metric_of(section, "human baseline", "accuracy")["value"] == 1.0
    assert metric_of(section, "model", "accuracy")["value"] == pytest.approx(4 / 7)
    assert section["rows"][0]["answered"] == pytest.approx(4 / 7)


def test_fewer_than_three_people_are_left_out_and_counted():
    pair = [rates("ann", ["good"]), rates("ben", ["good"]), rates("model", ["good"], "model")]
    three = [*pair, rates("cid", ["bad"])]
    section = section_of(judge([dialogue(0, pair), dialogue(1, three)]))
    assert section["dialogues"] == 1
    assert {"reason": "fewer than 3 people answered", "items": None, "dialogues": 1} in section["left_out"]
    with pytest.raises(InputError, match="nothing to judge against consensus: fewer than 3 people answered"):
        judge([dialogue(0, pair)])


def test_against_one_annotator_nobody_is_judged_unless_asked():
    gold = rates("gold", ["good", "bad"], "truth")
    given = [
        dialogue(k, [gold, rates("ann", ["good", "good"]), rates("model", ["bad", "bad"], "model")], 2)
        for k in range(6)
    ]
    alone = judge(given, setting=Setting("gold", annotators=None, resamples=20))
    assert [row["system"] for row in section_of(alone)["rows"]] == ["model"]
    assert not section_of(alone)["ratios"]
    assert metric_of(section_of(alone), "model", "accuracy")["value"] == 0.5
    beside = judge(given, setting=Setting("gold", resamples=20))
    assert metric_of(section_of(beside), "human baseline", "accuracy")["value"] == 0.5
    assert section_of(beside)["ratios"][0]["value"] == 1.0
    named = judge(given, setting=Setting("gold", ("ann",), resamples=20))
    assert section_of(named)["rows"] == section_of(beside)["rows"]


def divides(name, kind, *goals):
    """goals: (turns, outcome); None: not annotated, "unknown": nobody can tell."""
    labels = [Label("goals", AtGoal(turns), "goal", 0.8) for turns, _ in goals]
    labels += [Label("outcome", AtGoal(turns), outcome) for turns, outcome in goals if outcome not in (None, "unknown")]
    none = [NoLabel("outcome", AtGoal(turns)) for turns, outcome in goals if outcome == "unknown"]
    return Annotation(name, kind, tuple(labels), tuple(none) if goals else (NoLabel("goals", AtDialogue()),))


def test_an_outcome_that_the_reference_cannot_tell_is_not_judged():
    reference = divides("ann", "person", ((0, 1), "unknown"), ((2,), "failure"))
    model = divides("model", "model", ((0, 1), "success"), ((2,), "failure"))
    given = dialogue(0, [reference, model], turns=3)
    found = judge([given], (OUTCOME,), ("model",), Setting("ann", annotators=None, resamples=20))
    outcome = section_of(found, "outcome")
    assert outcome["items"] == 1
    assert metric_of(outcome, "model", "accuracy")["value"] == 1.0


@pytest.mark.parametrize("left", [None, "unknown"])
def test_an_outcome_counts_where_the_goal_is_the_reference_s_goal(left):
    """From end to end a model that divides differently misses; on the reference's goals it does not. A person who
    divides differently misses too, and one who cannot tell the outcome is not asked."""
    right = [divides(n, "person", ((0, 1), "success"), ((2,), "failure")) for n in ("ann", "ben", "cid")]
    other = divides("dan", "person", ((0,), "success"), ((1, 2), "failure"))
    unsure = divides("eve", "person", ((0, 1), "success"), ((2,), left))
    model = divides("model", "model", ((0,), "success"), ((1,), "success"), ((2,), "failure"))
    told = Annotation(
        "told", "model", (Label("outcome", AtGoal((0, 1)), "success"), Label("outcome", AtGoal((2,)), "failure"))
    )
    given = dialogue(0, [*right, other, unsure, model, told], turns=3)
    found = judge([given], (GOALS, OUTCOME), ("model", "told"), Setting("ann", ("dan", "eve"), resamples=20))
    outcome = section_of(found, "outcome")
    assert outcome["items"] == 2 + 1
    assert metric_of(outcome, "model", "accuracy")["value"] == pytest.approx(1 / 3)
    assert metric_of(outcome, "told", "accuracy")["value"] == 1.0
    assert metric_of(outcome, "human baseline", "accuracy")["value"] == pytest.approx(1 / 3)
    assert {"reason": "the judged annotator left it unanswered", "items": 1, "dialogues": None} in outcome["left_out"]
    goals = section_of(found, "goals")
    assert [row["system"] for row in goals["rows"]] == ["model", "human baseline"]
    curve = goals["precision_coverage"][0]["points"]
    assert curve == [{"threshold": 0.8, "coverage": 1.0, "precision": pytest.approx(1 / 3), "items": 6}]


def test_the_human_baseline_is_that_which_consensus_counts():
    rng = random.Random(3)
    made = []
    for k in range(60):
        names = ("ann", "ben", "cid", "dan")[: 3 + k % 2]
        people = [rates(who, [rng.choice(("good", "good", "bad")) for _ in range(4)]) for who in names]
        made.append(dialogue(k, [*people, rates("model", ["good"] * 4, "model")], turns=4))
    statistics = AnnotatorStatistics([QUALITY], Setting())
    for one in made:
        people = people_of(one, Setting())
        statistics.add(one, people, consensus(people, exclusive_names([QUALITY])))
    (row,) = statistics.agreement()
    assert metric_of(section_of(judge(made)), HUMAN, "accuracy")["value"] == pytest.approx(row["human"])
