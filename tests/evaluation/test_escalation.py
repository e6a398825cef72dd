"""A model that leaves uncertain answers to another annotator, judged as one more system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.errors import InputError
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Abstained, Annotation, AtDialogue, AtGoal, AtTurn, Field, Label, NoLabel, scope
from labelgen.data.log import write_log
from labelgen.evaluation.escalation import escalate, filled, uncertain
from labelgen.metrics.results import read_evaluation

NAMES = ("bad", "fair", "good")


def says(name, kind, names, probabilities=(None,) * 9, price=None, none=(), abstained=()):
    labels = tuple(rated(t, said, p) for t, (said, p) in enumerate(zip(names, probabilities, strict=False)) if said)
    return Annotation(name, kind, labels, none, abstained, price=price)


def rated(turn, name, probability):
    if probability is None:
        return Label("quality", AtTurn(turn), name)
    shares = tuple((other, probability if other == name else (1 - probability) / 2) for other in NAMES)
    return Label("quality", AtTurn(turn), name, probability, None, shares)


def dialogue(*annotations, k=0):
    return Dialogue(id=f"d{k}", turns=(Turn(request=f"play {k}", response="y"),) * 3, annotations=annotations)


def together(of):
    (found,) = [a for a in of.annotations if a.annotator == "net + gpt"]
    return found


def names_of(annotation):
    return {label.at.turn: label.name for label in annotation.labels}


def test_uncertain_and_withheld_answers_become_those_of_the_other():
    withheld = (Abstained(Field("quality", AtTurn(2)), (Label("quality", AtTurn(2), "bad", 0.3),)),)
    model = says("net", "model", ("bad", "bad"), (0.9, 0.4), price=0.1, abstained=withheld)
    llm = says("gpt", "llm", ("good",) * 3, price=0.5)
    (by_threshold,) = escalate([dialogue(model, llm)], ["net", "gpt"], "gpt")
    both = together(by_threshold)
    assert names_of(both) == {0: "bad", 1: "bad", 2: "good"}
    assert both.kind == "model"
    assert both.abstained == ()
    assert both.price == pytest.approx(0.6)
    (below,) = escalate([dialogue(model, llm)], ["net", "gpt"], "gpt", 0.5)
    assert names_of(together(below)) == {0: "bad", 1: "good", 2: "good"}
    assert below.annotations[:2] == (model, llm)


def test_a_silent_annotator_leaves_the_models_answer_and_costs_nothing():
    model, other = says("net", "model", ("bad", "bad"), (0.1, 0.1)), says("gpt", "llm", ("good", ""), price=0.5)
    made = escalate([dialogue(model, other), dialogue(model, k=1)], ["net", "gpt"], "gpt", 0.5)
    assert [names_of(together(d)) for d in made] == [{0: "good", 1: "bad"}, {0: "bad", 1: "bad"}]
    assert [together(d).price for d in made] == [0.5, None]


def test_goals_and_their_outcomes_are_never_asked():
    goal = AtGoal((0, 1))
    labels = (
        Label("goals", goal, "goal", 0.1),
        Label("outcome", goal, "failure", 0.1),
        Label("quality", AtDialogue(), "bad", 0.1),
    )
    model = Annotation("net", "model", labels, (NoLabel("intents", AtTurn(0), 0.2),))
    assert uncertain(model, 0.5) == {Field("quality", AtDialogue()), Field("intents", AtTurn(0))}


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0, 1)), min_size=1, max_size=5), st.floats(0, 1))
def test_every_field_keeps_one_answer_and_certain_ones_stay(said, below):
    model = says("net", "model", *zip(*said, strict=True))
    other = says("gpt", "llm", ("good",) * len(said))
    made = filled(model, other, uncertain(model, below))
    assert sorted(scope(x) for x in made.labels) == sorted(scope(x) for x in model.labels)
    for label in model.labels:
        if label.probability >= below:
            assert label in made.labels


def test_nothing_to_ask_is_an_error():
    log = [dialogue(says("net", "model", ("bad",), (0.9,)), says("gpt", "llm", ("good",)))]
    for to, below in (("gpt", None), ("gpt", 0.5), ("nobody", 0.95)):
        with pytest.raises(InputError, match=f"leaves an answer to {to}"):
            escalate(log, ["net", "gpt"], to, below)


def test_evaluate_judges_both_together(tmp_path):
    truth = says("gold", "truth", ("good", "bad", "bad"))
    model = says("net", "model", ("good", "good", "bad"), (0.9, 0.4, 0.8))
    llm = says("gpt", "llm", ("good", "bad", "good"), price=0.5)
    write_log(tmp_path / "log.jsonl", [dialogue(truth, model, llm, k=k) for k in range(4)])
    words = ["evaluate", str(tmp_path / "log.jsonl"), "--reference", "gold", "--task", "quality", "--resamples", "20"]
    words += ["--escalate-to", "gpt", "--escalate-below", "0.5", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    found = read_evaluation(tmp_path / "out/evaluation.json")
    values = {row.system: row.metrics["accuracy"].value for row in found.tasks[0].rows}
    assert values["net + gpt"] == 1.0
    assert values["net"] == values["gpt"] == pytest.approx(2 / 3)
    price = {row.system: row.price for row in found.costs}
    assert price["net + gpt"] == price["gpt"] == pytest.approx(2.0)


def test_a_probability_without_a_name_is_refused(tmp_path, capsys):
    assert main(["evaluate", "log.jsonl", "--escalate-below", "0.5", "--out", str(tmp_path / "out")]) == 2
    assert "--escalate-to" in capsys.readouterr().err
