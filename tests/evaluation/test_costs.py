"""An LLM beside a model and people: one more annotator, with a price."""

import pytest
from made_evaluations import plain

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.evaluation.evaluate import costs, systems_of
from labelgen.evaluation.protocol import Protocol
from labelgen.metrics.results import Setting
from labelgen.tasks.evaluation import EvaluationTask

QUALITY = EvaluationTask("quality", ("quality",), ("turn",), ("accuracy",), ("bad", "fair", "good"))
INTENTS = EvaluationTask("intents", ("intents",), ("turn",), ("intent_accuracy",))
BOTH = EvaluationTask("quality and intents", ("quality", "intents"), ("turn",), ("accuracy",))


def says(name, kind, quality, intents, price=None):
    """One answer a turn to each of the two tasks; None leaves it."""
    labels = [Label("quality", AtTurn(t), said) for t, said in enumerate(quality) if said]
    labels += [Label("intents", AtTurn(t), said) for t, said in enumerate(intents) if said]
    return Annotation(name, kind, tuple(labels), price=price)


def dialogue(k, *annotations):
    return Dialogue(id=f"d{k}", turns=(Turn(request=f"play {k}", response="y"),) * 2, annotations=annotations)


TRUTH = says("gold", "truth", ("good", "bad"), ("a", "b"))


def rows(dialogues, setting, questions=(QUALITY, INTENTS, BOTH), variants=()):
    systems = systems_of(dialogues, setting, variants)
    found = costs(Protocol(dialogues, questions, setting), questions, systems, setting)
    return {row.system: plain(row) for row in found}


def test_an_accepted_label_costs_the_whole_price_by_what_the_reference_agrees_with():
    llm = says("gpt", "llm", ("good", "good"), ("a", None), price=0.6)
    model = says("net", "model", ("good", "bad"), ("a", None))
    found = rows([dialogue(0, TRUTH, llm, model)], Setting("gold", annotators=None))
    assert found["gpt"] == {
        "system": "gpt",
        "kind": "llm",
        "answered": pytest.approx(3 / 4),
        "agreement": pytest.approx(2 / 4),
        "accepted": pytest.approx(2.0),
        "priced_dialogues": 1,
        "price": pytest.approx(0.6),
        "price_per_accepted": pytest.approx(0.3),
    }
    # A model that names no price is not free; joint questions count nothing twice.
    assert found["net"]["price"] is found["net"]["price_per_accepted"] is None
    assert found["net"]["agreement"] == pytest.approx(3 / 4)


def test_beside_people_a_field_counts_once_however_many_are_judged():
    people = [says(name, "person", ("good", "bad"), ("a", "b"), price=2.0) for name in ("ann", "ben", "cid", "dan")]
    llm = says("gpt", "llm", ("good", "bad"), ("a", "c"), price=0.3)
    found = rows([dialogue(0, *people, llm)], Setting())
    assert found["gpt"]["accepted"] == pytest.approx(3.0)
    assert found["gpt"]["price_per_accepted"] == pytest.approx(0.1)
    assert found["human baseline"]["accepted"] == pytest.approx(4.0)
    assert found["human baseline"]["price_per_accepted"] == pytest.approx(0.5)
