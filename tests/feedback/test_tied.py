"""Tied rates: correct gradient, equal parameters, and recovery of a tied world."""

import math

import numpy as np
import pytest
from scipy.optimize import check_grad

from labelgen.feedback.em.estimation import (
    FIRST_TALKATIVE,
    FIRST_TILT,
    HiddenStates,
    _TiedModel,
    fit_tied,
    possible_ties,
    prior_odds,
    vote_both_ways,
    with_moods,
)
from labelgen.feedback.em.patterns import Array, Pattern, Table, both, table_of

ACCURACY = {"a": 0.6, "b": 0.75, "c": 0.9}
FIRES = 0.4
GOOD = 0.8
FAMILIES = {kind: kind for kind in ACCURACY}


def drawn(items: int, seed: int, judged: bool = False) -> Table:
    """Three kinds that are right as often by either vote, in pairs of votes and silence."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < GOOD
    counts: dict[Pattern, int] = {}
    said = {
        kind: np.where(rng.random(items) < FIRES, np.where((rng.random(items) < right) == truth, 1, -1), 0)
        for kind, right in ACCURACY.items()
    }
    for n in range(items):
        votes = tuple((kind, "good" if of[n] > 0 else "bad") for kind, of in said.items() if of[n])
        pattern = Pattern(None, votes, known=float(truth[n]) if judged and n % 10 == 0 else None)  # type: ignore[arg-type]
        counts[pattern] = counts.get(pattern, 0) + 1
    return table_of(counts, FAMILIES, frozenset())


def even(table: Table) -> HiddenStates:
    return HiddenStates(both(0.5), np.stack([table.shares, table.shares], axis=1))


@pytest.fixture(scope="module")
def table() -> Table:
    return drawn(20_000, 0)


def told(table: Table, states: HiddenStates) -> Array:
    """What each answer tells against silence of the same kinds, in nats."""
    odds = np.log(states.rates[:, 0] / states.rates[:, 1])
    silence = {q: x for q, (_, votes), x in zip(table.question, table.answers, odds, strict=True) if not votes}
    return np.array([x - silence[q] for q, x in zip(table.question, odds, strict=True)])


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("moods", [False, True])
def test_gradient_of_tied_loss_equals_finite_differences(moods: bool, judged: bool) -> None:
    table = drawn(300, 1, judged)
    start = even(table)
    if moods:
        start = with_moods(table, start.rates, float(FIRST_TILT), 0.5, FIRST_TALKATIVE)
    for ties in possible_ties(table, FAMILIES):
        model = _TiedModel(table, prior_odds(table), ties, moods)
        x = model.begin(start) + np.random.default_rng(2).normal(0.0, 0.2, len(model.bounds))
        wrong = check_grad(lambda x, m=model: m.loss(x)[0], lambda x, m=model: m.loss(x)[1], x)
        assert wrong < 1e-3 * (1.0 + np.abs(model.loss(x)[1]).max())


def test_fit_tied_recovers_a_tied_world(table: Table) -> None:
    states = fit_tied(table, prior_odds(table), possible_ties(table, FAMILIES)[0], even(table))
    assert states.good == pytest.approx(GOOD, abs=0.03)
    for (_, votes), odds, (good, bad) in zip(table.answers, told(table, states), states.rates, strict=True):
        true = sum((1 if vote == "good" else -1) * math.log(ACCURACY[k] / (1.0 - ACCURACY[k])) for k, vote in votes)
        assert odds == pytest.approx(true, abs=0.3)
        assert math.log(good / bad) == pytest.approx(odds, abs=1e-9), "silence tells nothing where ties are mirrored"


def test_fit_tied_respects_the_ties(table: Table) -> None:
    written = prior_odds(table)
    for ties in possible_ties(table, FAMILIES):
        states = fit_tied(table, written, ties, even(table))
        assert table.by_question(states.rates) == pytest.approx(1.0)
        for group in np.unique(ties.factor):
            factors = (told(table, states) / np.where(written == 0.0, 1.0, written))[
                (ties.factor == group) & (written != 0.0)
            ]
            assert len(factors) == 0 or np.ptp(factors) < 1e-9


def test_mirrored_ties_have_fewer_parameters(table: Table) -> None:
    written = prior_odds(table)
    mirrored, of_set, free = possible_ties(table, FAMILIES)
    assert mirrored.parameters(table, written) == of_set.parameters(table, written) == 3 + 3
    assert free.parameters(table, written) == 6 + 3


def test_vote_both_ways_of_a_complaining_kind_is_false(table: Table) -> None:
    assert vote_both_ways(table, FAMILIES)
    only = {Pattern(None, (("a", "bad"),)): 3, Pattern(None, (("b", "good"),)): 2, Pattern(None, (("b", "bad"),)): 2}
    assert not vote_both_ways(table_of(only, {"a": "a", "b": "b"}, frozenset()), {"a": "a", "b": "b"})
    assert vote_both_ways(table_of(only, {"a": "both", "b": "both"}, frozenset()), {"a": "both", "b": "both"})
