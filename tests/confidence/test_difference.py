# mypy: disable-error-code="operator,union-attr,arg-type"
"""Laws of the difference of two rates: the estimate, its coverage, users on both sides, and the number of labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.confidence.prediction_powered import (
    IMAGINED_AT_ONE_SIDE,
    LEAST,
    RateEstimate,
    Sums,
    difference,
    interval_of,
    labels_needed,
    p_value_of,
    rate_of,
    weight_of,
)


def a_side(
    rng: np.random.Generator, rate: float, people: int, rest: int, users: int = 10**6, bias: float = 0.0
) -> Sums:
    """Dialogues of one to three answers, of users with rates of their own, and a model that is biased."""
    owners = rng.integers(0, users, people + rest)
    own = {user: rng.beta(8 * rate, 8 * (1 - rate)) for user in np.unique(owners).tolist()}
    every = rng.integers(1, 4, people + rest)
    counted = rng.binomial(every, [own[user] for user in owners.tolist()])
    said = np.clip(0.7 * counted / every + 0.15 + bias + rng.normal(0, 0.15, len(every)), 0, 1) * every
    truth, model = (np.stack([x, every], axis=1).astype(float) for x in (counted, said))
    return Sums(truth[:people], model[:people], model[people:], owners)


def of(before: Sums, after: Sums, people_alone: bool = False) -> RateEstimate | None:
    rates = [rate_of(x, 0.0 if people_alone else weight_of(x), IMAGINED_AT_ONE_SIDE) for x in (before, after)]
    return difference(*rates)


def naive_variance(before: Sums, after: Sums, weights: tuple[float, float]) -> float:
    """User by user, dialogue by dialogue, without pseudo-dialogues."""
    errors: dict[int, float] = {}
    for sums, weight, sign in ((before, weights[0], -1), (after, weights[1], 1)):
        estimate = rate_of(sums, weight)
        rate, n, m = estimate.value, len(sums.people), len(sums.rest)
        every = sums.people[:, 1].mean() + weight * (sums.rest[:, 1].mean() - sums.model[:, 1].mean())
        labeled = [
            y - rate * a - weight * (f - rate * b)
            for (y, a), (f, b) in zip(sums.people.tolist(), sums.model.tolist(), strict=True)
        ]
        others = [f - rate * b for f, b in sums.rest.tolist()]
        users = len(set(sums.users[:n].tolist()))
        scale = (users / (users - 2)) ** 0.5
        parts = [(x - np.mean(labeled)) / n * scale for x in labeled]
        parts += [weight * (x - np.mean(others)) / m for x in others]
        for user, part in zip(sums.users.tolist(), parts, strict=True):
            errors[user] = errors.get(user, 0.0) + sign * part / every
    return sum(error**2 for error in errors.values())


@given(st.integers(0, 30))
def test_the_difference_is_that_of_a_naive_sum_over_users(seed: int):
    rng = np.random.default_rng(seed)
    before, after = (a_side(rng, rate, 30, 60, users=40) for rate in (0.3, 0.5))
    weights = weight_of(before), weight_of(after)
    rates = [rate_of(x, w, 0) for x, w in zip((before, after), weights, strict=True)]
    found = difference(*rates)
    assert found.value == pytest.approx(rates[1].value - rates[0].value)
    assert found.variance == pytest.approx(naive_variance(before, after, weights))


def test_the_same_log_on_both_sides_does_not_differ_at_all():
    """Errors of a user on both sides cancel."""
    side = a_side(np.random.default_rng(0), 0.3, 40, 80, users=30)
    one = rate_of(side, weight_of(side), 0)
    found = difference(one, one)
    assert found.value == 0
    assert found.variance == pytest.approx(0)


@pytest.mark.parametrize(("people", "users"), [(25, 10**6), (80, 30)])
def test_intervals_of_few_labels_and_of_heavy_users_hold_the_truth(people: int, users: int):
    """A model that is biased on the second side alone does not mislead."""
    held = alone = 0
    shorter = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        before, after = a_side(rng, 0.3, people, 600, users), a_side(rng, 0.4, people, 600, users, bias=0.2)
        powered, by_people = (interval_of(of(before, after, x), 0.95, -1) for x in (False, True))
        held += powered.low <= 0.1 <= powered.high
        alone += by_people.low <= 0.1 <= by_people.high
        shorter.append((powered.high - powered.low) / (by_people.high - by_people.low))
    assert held >= 0.93 * 400
    assert alone >= 0.93 * 400
    assert np.mean(shorter) < 0.85


def test_as_many_labels_as_are_needed_give_the_width():
    rng = np.random.default_rng(3)
    before, after = a_side(rng, 0.3, 200, 20_000), a_side(rng, 0.4, 200, 20_000)
    weights = weight_of(before), weight_of(after)
    needed = labels_needed(before, after, weights, 0.06, 0.95)
    of_people = labels_needed(before, after, (0.0, 0.0), 0.06, 0.95)
    assert LEAST <= needed < 0.8 * of_people
    measured = interval_of(of(a_side(rng, 0.3, needed, 20_000), a_side(rng, 0.4, needed, 20_000)), 0.95, -1)
    assert measured.high - measured.low == pytest.approx(0.06, rel=0.15)
    assert labels_needed(before, after, weights, 1e-5, 0.95) is None


def test_a_side_with_few_users_has_no_difference():
    rng = np.random.default_rng(0)
    few, many = a_side(rng, 0.3, LEAST - 1, 50), a_side(rng, 0.3, 40, 50)
    assert difference(rate_of(few, 0.0), rate_of(many, 0.0)) is None
    assert difference(rate_of(many, 0.0), rate_of(few, 0.0)) is None
    assert interval_of(None, 0.95).value is None
    assert p_value_of(None) is None
