"""What an evaluation holds beside its main numbers: baseline, slices, curves, examples, what is left out."""

import pytest
from made_evaluations import evaluate, plain

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import (
    Abstained,
    Annotation,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    NoLabel,
)
from labelgen.evaluation.evaluate import COPIES, Description, JudgedModel, annotated, join, prepare
from labelgen.evaluation.measure import decisions, precision_coverage
from labelgen.metrics.metric import Item
from labelgen.metrics.results import Setting, SystemName
from labelgen.tasks.diagrams import confusions, reliability
from labelgen.tasks.evaluation import EvaluationTask, tasks_of_units

NAMES = ("bad", "fair", "good")
(QUALITY,) = tasks_of_units("quality", ("turn",), ("accuracy",), NAMES)
INTENTS = EvaluationTask("intents", ("intents",), ("turn",), ("intent_accuracy",))
SLOTS = EvaluationTask("slots", ("slots",), ("span",), ("slot_span_f1",))
(OUTCOME,) = tasks_of_units("outcome", ("goal",), ("accuracy",), ("success", "failure"))
FRAMES = EvaluationTask("frames", ("intents", "slots"), ("turn",), ("frame_accuracy",))
GOLD = Setting("gold", annotators=None, resamples=50)


def item(requests, reference, predicted):
    return Item(requests, reference, predicted)


def turns(*requests):
    return tuple(Turn(request=r, response="") for r in requests)


def gold(*labels, none=(), name="gold", kind="truth"):
    return Annotation(name, kind, tuple(labels), tuple(none))


def said(name, p, at=None):
    return (Label("quality", at or AtTurn(0), name, p),)


def test_curves_count_what_they_say():
    at = [AtTurn(t) for t in range(4)]
    reference = {a: said("good", None, a) for a in at}
    predicted = {at[0]: said("good", 0.9, at[0]), at[1]: said("bad", 0.9, at[1]), at[2]: said("good", 0.6, at[2])}
    items = [item(("",) * 4, reference, predicted)]
    curve = plain(precision_coverage("model", items, []))
    assert curve is not None
    assert curve["points"] == [
        {"threshold": 0.9, "coverage": 0.5, "precision": 0.5, "items": 2},
        {"threshold": 0.6, "coverage": 0.75, "precision": pytest.approx(2 / 3), "items": 3},
    ]
    bins = plain(reliability("model", items))
    assert bins is not None
    assert [(b["items"], b["accuracy"]) for b in bins["bins"]] == [(1, 1.0), (2, 0.5)]
    assert all(b["low"] <= b["probability"] <= b["high"] for b in bins["bins"])
    assert bins["ece"] == pytest.approx((0.4 * 1 + 0.8) / 3)
    table = plain(confusions("model", items, QUALITY))
    assert table is not None
    assert table["counts"] == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 2, 1]]
    assert table["columns"][-1] == "absent"
    assert confusions("model", items, INTENTS) is None


def test_a_field_of_several_labels_is_as_sure_as_the_least_sure_of_them():
    a, b = Label("intents", AtTurn(0), "a", 0.9), Label("intents", AtTurn(0), "b", 0.6)
    none = AtTurn(1)
    one = item(("", ""), {AtTurn(0): (a, b), none: ()}, {AtTurn(0): (a, b), none: ()})
    assert decisions(one) == [(0.6, True), (None, True)]
    curve = plain(precision_coverage("model", [one], [one]))
    assert curve is not None
    assert (curve["without_probability"], curve["human_precision"]) == (1, 1.0)


def test_who_is_judged_by_predictions_is_judged_by_them_alone():
    """What an earlier model said under the same name would be judged in its place."""
    good, bad = (Label("quality", AtTurn(0), name) for name in ("good", "bad"))
    old = (gold(good), gold(bad, name="net", kind="model"), gold(bad, name="ann", kind="person"))
    new = (gold(bad), gold(good, name="net", kind="model"), gold(good, name="ann", kind="person"))
    here = [Dialogue(id=name, turns=turns("x"), annotations=old) for name in ("a", "not predicted")]
    first, second = join(here, [Dialogue(id="a", turns=turns("x"), annotations=new)], "gold")
    assert {a.annotator: a.labels[0].name for a in first.annotations} == {"gold": "good", "ann": "bad", "net": "good"}
    assert [a.annotator for a in second.annotations] == ["gold", "ann"]
    # The reference is never replaced, whatever it is.
    first, _ = join(here, [Dialogue(id="a", turns=turns("x"), annotations=new)], "net")
    assert {a.annotator: a.labels[0].name for a in first.annotations}["net"] == "bad"


def test_who_abstains_from_all_of_a_task_misses_all_of_it():
    at = AtTurn(0)
    held = (Abstained(Field("quality", at), (Label("quality", at, "good", 0.6),)),)
    said = Annotation("net", "model", (), (), held)
    log = [Dialogue(id=k, turns=turns("x"), annotations=(gold(Label("quality", at, "good")), said)) for k in "ab"]
    (found,) = evaluate(log, [QUALITY], ["net"], GOLD, Description("t"))["tasks"]
    (row,) = found["rows"]
    assert (row["system"], row["answered"], row["metrics"]["accuracy"]["value"]) == ("net", 0.0, 0.0)


def test_a_model_is_asked_once_alone_and_once_about_the_goals_of_the_reference():
    own = gold(
        Label("goals", AtGoal((0,)), "goal"), Label("outcome", AtGoal((0,)), "success"), name="model", kind="model"
    )
    told = gold(
        Label("goals", AtGoal((0, 1)), "goal"), Label("outcome", AtGoal((0, 1)), "failure"), name="model", kind="model"
    )

    def annotate(group, goals_from):
        assert goals_from in (None, "gold")
        return [told if goals_from else own for _ in group]

    (found,), variants = annotated([Dialogue(id="a", turns=turns("x", "y"))], JudgedModel(annotate), "gold")
    first, second = found.annotations
    assert variants == {SystemName("model", on_given_goals=True)}
    assert (first, second.annotator) == (own, "model on the reference's goals")
    assert second.labels == (Label("outcome", AtGoal((0, 1)), "failure"),)


def test_what_is_left_out_is_counted_and_asked_of_nobody():
    people = [gold(Label("quality", AtTurn(0), "good"), name=who, kind="person") for who in ("ann", "ben", "cid")]
    log = [Dialogue(id=w, turns=turns(w), annotations=tuple(people[:n])) for w, n in (("a", 3), ("b", 3), ("c", 2))]
    asked = []

    def annotate(group, goals_from):
        # The consensus is there when a model is asked about its goals.
        assert all(d.annotation("consensus") is not None for d in group)
        asked.append(([d.id for d in group], goals_from))
        return [gold(Label("quality", AtTurn(0), "good"), name="model", kind="model") for _ in group]

    training = [Dialogue(id="t", turns=turns("A "), annotations=(gold(name="ann", kind="person"),))]
    prepared = prepare(log, (QUALITY,), Setting(), training, 3, [JudgedModel(annotate)])
    assert prepared.left_out == {COPIES: 1, "fewer than 3 people": 1}
    assert asked == [(["b"], None), (["b"], "consensus")]
    assert [a.annotator for a in prepared.dialogues[0].annotations] == ["ann", "ben", "cid", "consensus", "model"]
    assert plain(prepared.baselines) == {
        "dialogues": 0,
        "turns": 0,
        "of_dialogues": 0,
        "of_turns": 0,
        "tasks": {},
        "goals_from": "model",
    }


def test_an_evaluation_holds_examples_with_most_errors_first_and_joint_tasks():
    given = []
    for k in range(7):
        truth = [Label("intents", AtTurn(t), "Play") for t in range(3)] + [Label("slots", AtSpan(0, 0, 1), "s")]
        none = (NoLabel("slots", AtTurn(1)), NoLabel("slots", AtTurn(2)))
        guess = [Label("intents", AtTurn(t), "Stop" if t < k % 3 else "Play", 0.7) for t in range(3)] + truth[-1:]
        annotations = (gold(*truth, none=none), gold(*guess, none=none, name="model", kind="model"))
        given.append(Dialogue(id=f"d{k}", turns=turns("a", "b", "c"), annotations=annotations, source=f"s{k}"))
    found = evaluate(given, (INTENTS, SLOTS, FRAMES), ("model",), GOLD, Description("t", left_out={"why": 2}))
    assert [e["errors"] for e in found["examples"]] == [2, 2, 1, 1]
    assert [e["record"]["id"] for e in found["examples"]] == ["d2", "d5", "d1", "d4"]
    assert found["data"]["left_out"] == [{"reason": "why", "items": None, "dialogues": 2}]
    by_name = {task["name"]: task["rows"][0]["metrics"] for task in found["tasks"]}
    assert by_name["intents"]["intent_accuracy"]["value"] == pytest.approx(15 / 21)
    assert by_name["frames"]["frame_accuracy"]["value"] == pytest.approx(15 / 21)
    assert by_name["slots"]["slot_span_f1"]["value"] == 1.0
