"""Laws of certified thresholds: how many dialogues a claim needs, what is tested, and when it is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from labelgen.confidence.certificate import (
    Scored,
    ThresholdTest,
    certify,
    dialogues_needed,
    p_value,
    plan,
)


def scored(rows: list[list[tuple[float, int]]]) -> Scored:
    """Of each user the answers: (score, 1 if wrong)."""
    flat = np.array([(k, s, w) for k, own in enumerate(rows) for s, w in own], dtype=float).reshape(-1, 3)
    return Scored(flat[:, 0].astype(np.int64), flat[:, 1], flat[:, 2], tuple(f"d{k}" for k in range(len(rows))))


@given(st.integers(0, 20), st.floats(0.01, 0.5), st.floats(0.5, 0.99))
def test_dialogues_needed_any_level_is_the_minimum(errors: int, max_error: float, confidence: float):
    least = dialogues_needed(errors, max_error, confidence)
    assert binom.cdf(errors, least, max_error) <= 1 - confidence
    assert least == errors + 1 or binom.cdf(errors, least - 1, max_error) > 1 - confidence


@pytest.mark.parametrize("answers", [1, 3])
@pytest.mark.parametrize("dialogues", [98, 99])
def test_full_dialogues_without_error_count_alike_however_many_answers_they_have(answers: int, dialogues: int):
    clean = scored([[(0.9, 0)] * answers] * dialogues)
    passed = p_value(clean, ThresholdTest(0.9, answers, 1.0, 99.0), 0.03, "x") <= 0.05
    assert passed == (dialogues == 99)


@pytest.mark.parametrize(("errors", "needed"), [(0, 99), (1, 157), (3, 257)])
def test_threshold_is_certified_at_the_full_level_and_not_above_it(errors: int, needed: int):
    """One dialogue fewer than the exact binomial needs has a p-value just above 5%."""
    for dialogues in (needed - 1, needed):
        held = scored([[(0.9, k < errors)] for k in range(dialogues)])
        found = certify(held, [ThresholdTest(0.9, 1, 1.0, float(dialogues))], 0.03, 0.95, "x")
        assert found.p_value == pytest.approx(binom.cdf(errors, dialogues, 0.03))
        assert (found.threshold == 0.9) == (dialogues == needed)


def test_certificates_above_the_bound_are_given_as_seldom_as_promised():
    """Errors just above the bound: of many held-out parts at most the level gets a threshold, over several thresholds."""
    rng = np.random.default_rng(0)
    worlds, level = 400, 0.2
    steps = [ThresholdTest(threshold, 1, 1.0, 60.0) for threshold in (0.9, 0.8, 0.7)]
    passed = 0
    for _ in range(worlds):
        held = scored([[(rng.choice([0.7, 0.8, 0.9]), int(rng.random() < 0.101))] for _ in range(300)])
        passed += certify(held, steps, 0.1, 1 - level, "x").threshold is not None
    assert 0.5 * level * worlds <= passed <= binom.ppf(0.999, worlds, level)


def test_refused_with_the_reason_and_what_could_be_supported():
    few = scored([[(0.9, 0)]] * 40)
    found = certify(few, plan(few, 40, 0.03, 0.95), 0.03, 0.95, "x")
    assert found.threshold is None
    assert found.reason is not None
    assert "needs 99 users" in found.reason
    assert "40 were held out" in found.reason
    assert "7.2%" in found.reason


rows = st.lists(
    st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.8]), st.integers(0, 1)), max_size=4), min_size=1, max_size=60
)


@given(rows, st.integers(1, 4), st.sampled_from([0.2, 1.0]))
def test_p_value_more_errors_is_not_smaller(made: list[list[tuple[float, int]]], most: int, stake: float):
    step = ThresholdTest(0.5, most, stake, 1.0)
    worse = [[(s, 1) for s, _ in own] for own in made]
    assert 0 < p_value(scored(made), step, 0.1, "x") <= p_value(scored(worse), step, 0.1, "x") <= 1


def test_the_last_that_passed_before_the_first_failure_stands():
    """0.8 passes, 0.5 fails, and 0.2, which would pass again, is never asked."""
    held = scored([[(0.8, 0), (0.5, k < 60)] + [(0.2, 0)] * 40 for k in range(200)])
    steps = [ThresholdTest(t, most, 0.5, 200.0) for t, most in ((0.8, 1), (0.5, 2), (0.2, 42))]
    assert p_value(held, steps[2], 0.05, "x") <= 0.05
    found = certify(held, steps, 0.05, 0.95, "x")
    assert (found.threshold, found.tested, found.errors) == (0.8, 2, 0)


def test_few_heavy_users_are_not_certified_above_the_bound():
    """Twenty users whose own error rates lie around .1: a bound of .05 is given as seldom as promised, though their answers are many."""
    rng = np.random.default_rng(3)
    passed = 0
    for _ in range(200):
        rates = rng.beta(1, 9, 20)
        held = scored([[(0.9, int(rng.random() < rate)) for _ in range(50)] for rate in rates])
        step = ThresholdTest(0.9, 50, 0.5, 20.0)
        passed += certify(held, [step], 0.05, 0.9, "x").threshold is not None
    assert passed <= 0.1 * 200
