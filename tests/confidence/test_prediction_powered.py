# mypy: disable-error-code="operator,arg-type"
"""Laws of prediction-powered rates: valid whatever the model says, and shorter where it knows something."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.confidence.prediction_powered import (
    LEAST,
    Sums,
    interval_of,
    people_alone,
    prediction_powered,
    rate_of,
    weight_of,
)
from labelgen.confidence.resampling import Array


def single(values: Array) -> Array:
    """Dialogues of one goal."""
    return np.stack([values, np.ones(len(values))], axis=1)


def sums_of(people: Array, model: Array, rest: Array) -> Sums:
    """Every dialogue by a user of its own."""
    return Sums(people, model, rest, np.arange(len(people) + len(rest)))


def a_log(seed: int, people: int = 200, rest: int = 3000, noise: float = 0.3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(people + rest) < 0.7).astype(np.float64)
    return truth, np.clip(0.7 * truth + noise * rng.random(people + rest) * 0.9, 0, 1)


def test_one_goal_a_dialogue_is_the_mean_of_ppi_python():
    """Figures of ppi-python 0.2.3 (ppi_mean_pointestimate, ppi_mean_ci) of this log; its variances and quantiles are those of
    larger samples, so the last digits differ."""
    rng = np.random.default_rng(0)
    truth = (rng.random(3200) < 0.7).astype(np.float64)
    said = np.where(rng.random(3200) < 0.8, truth, 1.0)
    sums = sums_of(single(truth[:200]), single(said[:200]), single(said[200:]))
    found = interval_of(rate_of(sums, weight_of(sums), imagined=0), 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.68859516, 0.64878612, 0.7284042), abs=1e-3)


def naive(sums: Sums, weight: float) -> float:
    """The rate, dialogue by dialogue."""
    counted = every = 0.0
    for (y, n), (f, g) in zip(sums.people, sums.model, strict=True):
        counted += (y - weight * f) / len(sums.people)
        every += (n - weight * g) / len(sums.people)
    for f, g in sums.rest:
        counted += weight * f / len(sums.rest)
        every += weight * g / len(sums.rest)
    return counted / every


@given(st.integers(0, 50))
def test_the_rate_is_the_ratio_of_mended_sums(seed: int):
    rng = np.random.default_rng(seed)
    goals = rng.integers(1, 5, 60)
    reached = rng.binomial(goals, 0.6)
    said = rng.binomial(reached, 0.9)
    pairs = [np.stack([x, goals], axis=1).astype(float) for x in (reached, said)]
    sums = sums_of(pairs[0][:20], pairs[1][:20], pairs[1][20:])
    found = prediction_powered(sums)
    assert found.value == pytest.approx(min(1.0, max(0.0, naive(sums, weight_of(sums)))))
    assert found.low <= found.value <= found.high


def test_a_model_that_is_often_right_shortens_the_interval_and_one_that_is_wrong_does_not_mislead():
    truth, said = a_log(2)
    alone = people_alone(sums_of(single(truth[:100]), single(said[:100]), single(said[100:])))
    for model in (said, 1 - said, said * 0.2):
        found = prediction_powered(sums_of(single(truth[:100]), single(model[:100]), single(model[100:])))
        assert found.high - found.low < 0.6 * (alone.high - alone.low)
        assert found.low <= truth.mean() <= found.high


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(300):
        truth, said = a_log(seed, people=40, rest=400)
        found = prediction_powered(sums_of(single(truth[:40]), single(said[:40]), single(said[40:])))
        held += found.low <= 0.7 <= found.high
    assert held >= 0.91 * 300


def test_prediction_powered_too_few_dialogues_has_no_interval():
    few = np.ones((LEAST - 1, 2))
    assert people_alone(sums_of(few, few, np.ones((50, 2)))).value is None
    assert prediction_powered(sums_of(few, few, np.ones((50, 2)))).value is None
    enough = np.ones((LEAST, 2))
    assert people_alone(sums_of(enough, enough, np.ones((50, 2)))).value == 1
    nothing = np.zeros((LEAST, 2))
    sums = sums_of(nothing, nothing, np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert prediction_powered(sums).value is None
    assert weight_of(sums) == 0
    assert people_alone(sums_of(nothing, nothing, nothing)).value is None


def test_heavy_users_widen_the_interval_to_what_it_says():
    """Twenty users, each with many dialogues of its own rate: counted by dialogues the interval would be right half of the time."""
    held = alone = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rates = rng.beta(7, 3, 20)
        user = np.repeat(np.arange(20), 30)
        truth = single((rng.random(600) < rates[user]).astype(float))
        order = rng.permutation(600)
        people, rest = order[:300], order[300:]
        model = single(np.clip(0.3 + 0.4 * truth[:, 0] + 0.1 * rng.random(600), 0, 1))
        clustered = Sums(truth[people], model[people], model[rest], np.concatenate([user[people], user[rest]]))
        found = prediction_powered(clustered)
        held += found.low <= 0.7 <= found.high
        by_dialogue = prediction_powered(sums_of(truth[people], model[people], model[rest]))
        alone += by_dialogue.low <= 0.7 <= by_dialogue.high
    assert held >= 0.92 * 300
    assert alone < 0.85 * 300
