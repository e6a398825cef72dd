"""Several intents of one turn: those that training knows well and never saw together exclude each other."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.label_set import LabelName, LabelSet
from labelgen.tasks.intents import Intents
from labelgen.tasks.options import TaskOptions
from labelgen.tensors.layout import Layout

EMPTY = torch.zeros(0, dtype=torch.long)
ONE_TURN = Layout(
    (1,),
    (None,),
    (None,),
    ((),),
    torch.zeros(1, dtype=torch.long),
    torch.zeros(1, dtype=torch.long),
    EMPTY,
    EMPTY,
    EMPTY,
    (0,),
    torch.ones(1, dtype=torch.long),
)
NAMES = tuple(LabelName(name) for name in "abcd")


def intents(often: tuple[int, ...] = (), together: tuple[tuple[int, int], ...] = ()) -> Intents:
    return Intents(LabelSet("intents", NAMES, {"*": (0, 1, 2, 3)}, often, together), TaskOptions())


def said(task: Intents, scores: list[float]) -> str:
    (answers,) = task.decode(torch.tensor([scores]), ONE_TURN)
    return "".join(label.name for label in answers.labels)


def test_of_names_that_never_stood_together_the_more_probable_is_given():
    known = intents((0, 1, 2), ((1, 2),))
    assert said(known, [0.5, 0.7, 0.6, -1.0]) == "bc"
    assert said(known, [0.8, 0.7, 0.6, -1.0]) == "a"
    # What training hardly saw may stand beside anything.
    assert said(known, [0.8, 0.7, -1.0, 0.9]) == "ad"
    assert said(intents(), [0.5, 0.7, 0.6, 0.1]) == "abcd"


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.sets(st.sampled_from([(0, 1), (1, 2), (2, 3), (0, 3)])))
def test_a_turn_keeps_its_most_probable_intent_and_is_none_only_where_it_was(scores, together):
    free, bound = said(intents(), scores), said(intents((0, 1, 2, 3), tuple(together)), scores)
    assert set(bound) <= set(free)
    assert bool(bound) == bool(free)
    if free:
        assert NAMES[max(range(4), key=lambda k: scores[k])].name in bound


DOMAINS = tuple(LabelName(name) for name in ("a.x", "b.x", "c.x", "d.x"))


def offered(probabilities: list[float], domains: str, often: tuple[int, ...] = (0, 1, 2, 3)) -> dict[str, float]:
    task = Intents(LabelSet("intents", DOMAINS, {"*": (0, 1, 2, 3)}, often, ()), TaskOptions())
    (answers,) = task.decode(torch.tensor([probabilities]).logit(), replace(ONE_TURN, domains=(tuple(domains),)))
    return {label.name: label.probability or 0.0 for label in answers.labels}


def test_what_is_not_on_offer_leaves_its_probability_to_what_it_excludes():
    assert offered([0.22, 0.75, 0.01, 0.01], "abcd") == {"b.x": pytest.approx(0.75)}
    # p(a | not b)
    assert offered([0.22, 0.75, 0.01, 0.01], "a") == {"a.x": pytest.approx(0.22 / 0.25, abs=1e-5)}
    # Names that training hardly knew exclude nothing.
    assert offered([0.22, 0.75, 0.01, 0.01], "a", often=()) == {}


@given(st.lists(st.floats(0.001, 0.999), min_size=4, max_size=4), st.sets(st.sampled_from("abcd")))
def test_only_names_on_offer_are_given_and_what_was_given_stays(probabilities, domains):
    found, free = (offered(probabilities, "".join(sorted(s))) for s in (domains, set("abcd")))
    assert {name[0] for name in found} <= domains
    assert all(0.5 < p <= 1 for p in found.values())
    best = max(range(4), key=lambda k: probabilities[k])
    if free and "abcd"[best] in domains:
        assert DOMAINS[best].name in found
