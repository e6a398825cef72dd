"""Several intents of one turn: those that training knows well and never saw together exclude each other."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from decodings import decoded
from hypothesis import given
from hypothesis import strategies as st
from layouts import layout_of

from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import AtGoal, AtTurn, Target
from labelgen.tasks import TaskOptions
from labelgen.tasks.intents import Intents

ONE_TURN = layout_of(1)
NAMES = tuple(LabelName(name) for name in "abcd")


def intents(often: tuple[int, ...] = (), together: tuple[tuple[int, int], ...] = ()) -> Intents:
    return Intents(LabelSet("intents", NAMES, {"*": (0, 1, 2, 3)}, often, together), TaskOptions())


def said(task: Intents, scores: list[float], some: float = 30.0) -> str:
    (answers,) = decoded(task, torch.tensor([[some, *scores]]), ONE_TURN)
    return "".join(label.name for label in answers.labels)


def test_of_names_that_never_stood_together_the_more_probable_is_given():
    known = intents((0, 1, 2), ((1, 2),))
    assert said(known, [2.0, 3.0, 2.5, -9.0]) == "bc"
    assert said(known, [3.5, 3.0, 2.5, -9.0]) == "a"
    # What training hardly saw stands beside what it knows only where it did in training, or where the domain is another.
    assert said(known, [3.5, 3.0, -9.0, 3.2]) == "a"
    assert said(intents((0, 1, 2), ((1, 2), (0, 3))), [3.5, 3.0, -9.0, 3.2]) == "ad"
    assert said(intents(), [2.0, 3.0, 2.5, 2.2]) == "abcd"
    domains = tuple(LabelName(name) for name in ("Bank.a", "Bank.b", "Bank.c", "Bus.d"))
    task = Intents(LabelSet("intents", domains, {"*": (0, 1, 2, 3)}, (0, 1)), TaskOptions())
    assert said(task, [3.5, -9.0, 3.2, 3.0]) == "Bank.aBus.d"


SCORES = st.lists(st.floats(-9, 9), min_size=4, max_size=4)


@given(SCORES, st.floats(-9, 9), st.sets(st.sampled_from([(0, 1), (1, 2), (2, 3), (0, 3)])))
def test_a_turn_keeps_its_most_probable_intent_and_is_none_only_where_it_was(scores, some, together):
    free, bound = said(intents(), scores, some), said(intents((0, 1, 2, 3), tuple(together)), scores, some)
    assert set(bound) <= set(free)
    assert bool(bound) == bool(free)
    if free:
        assert NAMES[max(range(4), key=lambda k: scores[k])].name in bound


@given(SCORES, st.floats(-9, 9))
def test_probabilities_of_names_and_of_none_are_those_of_any_intent(scores, some):
    (answers,) = decoded(intents(), torch.tensor([[some, *scores]]), ONE_TURN)
    any_holds = torch.tensor(some).double().sigmoid().item()
    assert bool(answers.none) != bool(answers.labels)
    assert all(p == pytest.approx(1 - any_holds) for p in [x.probability for x in answers.none])
    for probability in (label.probability or 0.0 for label in answers.labels):
        assert 0 < probability <= any_holds
        # Nothing more probable was passed over for it.
        assert probability > 0.5 or (len(answers.labels) == 1 and probability >= 1 - any_holds)


def test_a_name_that_scores_low_is_given_where_some_intent_holds_and_no_other_scores_higher():
    """As names do that were not trained on."""
    assert said(intents(), [-4.0, -6.0, -7.0, -9.0], some=3.0) == "a"
    assert said(intents(), [-4.0, -6.0, -7.0, -9.0], some=-3.0) == ""
    assert said(intents(), [4.0, -6.0, -7.0, -9.0], some=-3.0) == ""


DOMAINS = tuple(LabelName(name) for name in ("a.x", "b.x", "c.x", "d.x"))


def offered(probabilities: list[float], domains: str) -> dict[str, float]:
    task = Intents(LabelSet("intents", DOMAINS, {"*": (0, 1, 2, 3)}, (0, 1, 2, 3), ()), TaskOptions())
    scores = torch.tensor([[0.9, *probabilities]]).logit()
    (answers,) = decoded(task, scores, replace(ONE_TURN, domains=(tuple(domains),)))
    return {label.name: label.probability or 0.0 for label in answers.labels}


def test_what_is_not_on_offer_leaves_its_probability_to_what_is():
    assert offered([0.21, 0.77, 0.01, 0.01], "abcd") == {"b.x": pytest.approx(0.9 * 0.77)}
    assert offered([0.22, 0.75, 0.01, 0.01], "ac") == {"a.x": pytest.approx(0.9 * 0.22 / 0.23)}


@given(st.lists(st.floats(0.001, 0.999), min_size=4, max_size=4), st.sets(st.sampled_from("abcd")))
def test_only_names_on_offer_are_given_and_what_was_given_stays(probabilities, domains):
    found, free = (offered(probabilities, "".join(sorted(s))) for s in (domains, set("abcd")))
    assert {name[0] for name in found} <= domains
    best = max(range(4), key=lambda k: probabilities[k])
    if free and "abcd"[best] in domains:
        assert DOMAINS[best].name in found


def test_that_a_name_is_wrong_says_nothing_of_whether_any_is_right():
    task = intents()
    target = task.encode([[Target("intents", AtTurn(0), None, ("a",), 1.0, complete=False)]], ONE_TURN)
    out = torch.zeros(1, 5, requires_grad=True)
    task.loss(out, target).total.backward()
    assert out.grad is not None
    assert [bool(g) for g in out.grad[0]] == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("probability", "complete", "known"), [(0.9, False, True), (0.2, False, False), (0.2, True, True)]
)
def test_any_intent_is_known_where_all_are_or_one_is_likely(probability, complete, known):
    target = intents().encode(
        [[Target("intents", AtTurn(0), (("a", probability),), None, 0.5, complete=complete)]], ONE_TURN
    )
    assert target.weight[0, 0] == (0.5 if known else 0.0)
    assert target.expected[0, 0] == pytest.approx(probability if known else 0.0)


def told(weight: float, *shares: tuple[str, float], complete: bool = True) -> Target:
    return Target("intents", AtTurn(0), shares, None, weight, complete=complete)


def encoded(*targets: Target, source: str = "all") -> dict[str, Any]:
    """Of "some" and of each name what is expected, and with what weight; without what is not known."""
    task = Intents(LabelSet("intents", NAMES, {"all": (0, 1, 2, 3), "two": (0, 1), "none": ()}), TaskOptions())
    found = task.encode([list(targets)], replace(ONE_TURN, sources=(source,)))
    known = zip(("some", *"abcd"), found.expected[0].tolist(), found.weight[0].tolist(), strict=True)
    return {name: (pytest.approx(p), pytest.approx(weight)) for name, p, weight in known if weight}


def test_annotators_who_differ_share_each_name_by_their_weights():
    """One gives a and b, another of half the weight gives a alone; c and d hold for nobody."""
    found = encoded(told(0.5, ("a", 1.0), ("b", 1.0)), told(0.25, ("a", 1.0)))
    assert found == {"some": (1, 0.75), "a": (1, 0.75), "b": (2 / 3, 0.75), "c": (0, 0.75), "d": (0, 0.75)}
    none = encoded(told(0.75, ("a", 1.0)), told(0.75))
    assert none == {"some": (0.5, 1), "a": (0.5, 1), "b": (0, 1), "c": (0, 1), "d": (0, 1)}


def test_a_target_that_is_not_complete_tells_of_its_own_names_alone():
    assert encoded(told(0.5, ("a", 0.4), ("b", 0.2), complete=False)) == {
        "some": (1 - 0.6 * 0.8, 0.5),
        "a": (0.4, 0.5),
        "b": (0.2, 0.5),
    }


def test_names_that_the_source_cannot_give_are_not_known():
    assert encoded(told(0.5, ("a", 1.0), ("d", 1.0)), source="two") == {"some": (1, 0.5), "a": (1, 0.5), "b": (0, 0.5)}
    assert encoded(told(0.5, ("a", 1.0)), source="none") == {}
    assert encoded(told(0.5, ("z", 1.0))) == {"some": (1, 0.5), **dict.fromkeys("abcd", (0, 0.5))}


def test_targets_of_other_places_and_names_that_are_wrong_leave_what_is_said_beside_them():
    elsewhere = Target("intents", AtGoal((0,)), (("b", 1.0),))
    wrong = Target("intents", AtTurn(0), None, ("b",), complete=False)
    assert encoded(elsewhere, wrong, told(0.5, ("a", 1.0))) == encoded(told(0.5, ("a", 1.0)))


def test_evidence_against_unknown_names_is_no_evidence():
    against = [Target("intents", AtTurn(t), None, (name,), 0.5) for t, name in enumerate(("unheard", "b"))]
    found = intents().encode([against], layout_of(2))
    assert found.complement is not None
    assert found.complement_weight is not None
    assert found.complement_weight.tolist() == [0.0, 0.5]
    assert found.complement.nonzero().tolist() == [[1, 2]]
