"""Laws of scaled probabilities: they rise with what was given, and say how often it is right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from labelgen.confidence.scaling import LEAST_EVENTS, Scaling, fit_isotonic, fit_temperature, fit_weights

probabilities = st.floats(0.0, 1.0)
curves = st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=5, unique_by=lambda p: p[0])


@st.composite
def scalings(draw: st.DrawFn) -> Scaling:
    kind = draw(st.sampled_from(["none", "temperature", "isotonic"]))
    if kind == "temperature":
        return Scaling("temperature", draw(st.floats(0.05, 20.0)))
    if kind == "isotonic":
        points = draw(curves)
        return Scaling("isotonic", 1.0, tuple(sorted(x for x, _ in points)), tuple(sorted(y for _, y in points)))
    return Scaling()


@given(scalings(), probabilities, probabilities)
def test_scaling_probability_is_monotone_within_bounds(scaling: Scaling, first: float, second: float):
    low, high = sorted((first, second))
    assert 0 <= scaling.of(low) <= scaling.of(high) <= 1


@given(scalings(), st.lists(probabilities, min_size=2, max_size=5).filter(lambda row: sum(row) > 1e-6))
def test_scaling_distribution_sums_to_one_and_keeps_the_mode(scaling: Scaling, row: list[float]):
    given_ = [p / math.fsum(row) for p in row]
    said = scaling.of_all(given_)
    assert math.fsum(said) == pytest.approx(1.0)
    assert said[given_.index(max(given_))] == max(said)


@given(st.floats(0.05, 20.0), st.floats(0.001, 0.999))
def test_scaling_event_equals_distribution_of_two(temperature: float, p: float):
    scaling = Scaling("temperature", temperature)
    assert scaling.of(p) == pytest.approx(scaling.of_all([p, 1 - p])[0], abs=1e-9)


def overconfident(count: int, temperature: float) -> tuple[list[float], list[bool]]:
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 1, count)
    holds = rng.random(count) < 1 / (1 + np.exp(-odds))
    return list(1 / (1 + np.exp(-odds * temperature))), [bool(x) for x in holds]


@pytest.mark.parametrize("temperature", [0.1, 3.0, 12.0])
def test_fit_temperature_scaled_rows_recovers_the_temperature(temperature: float):
    said, holds = overconfident(20_000, temperature)
    scaling = fit_temperature([(p, 1 - p) for p in said], [0 if held else 1 for held in holds])
    assert scaling.temperature == pytest.approx(temperature, rel=0.05)


def test_a_curve_is_linear_between_its_points_and_flat_beyond_them():
    """But for a thousandth of the given probability, so that what differed goes on to differ."""
    curve = Scaling("isotonic", 1.0, (0.2, 0.4, 0.6), (0.1, 0.2, 0.9))
    for given_, said in ((0.0, 0.1), (0.2, 0.1), (0.3, 0.15), (0.4, 0.2), (0.5, 0.55), (0.6, 0.9), (1.0, 0.9)):
        assert curve.of(given_) == pytest.approx(0.999 * said + 0.001 * given_)
    assert curve.of(0.7) < curve.of(0.8) < curve.of(0.9)
    assert curve.of_all([0.7, 0.3]) == [0.7, 0.3]


@pytest.mark.parametrize("count", [LEAST_EVENTS - 1, LEAST_EVENTS])
def test_fit_few_events_change_nothing(count: int):
    few, changed = [0.5] * count, count >= LEAST_EVENTS
    assert (fit_isotonic(few, [True] * count).kind != "none") == changed
    assert (fit_temperature([(p, 1 - p) for p in few], [0] * count).kind != "none") == changed
    assert (fit_weights([[0.5, 0.5]] * count, [0] * count) != ()) == changed


def test_weights_find_rare_names_on_other_rows_too():
    """A rare name that is never the most probable one is still said."""
    rng = np.random.default_rng(3)
    rows = rng.dirichlet([1.0, 6.0, 3.0], 6_000)
    right = [int(rng.choice(3, p=row)) for row in rows]
    scaling = Scaling(weights=fit_weights(rows[:3_000].tolist(), right[:3_000]))

    def macro_f1(how: Scaling) -> float:
        return float(f1_score(right[3_000:], [how.decide(row) for row in rows[3_000:].tolist()], average="macro"))

    assert macro_f1(scaling) > macro_f1(Scaling()) + 0.03


def test_fit_weights_two_names_equal_the_best_threshold():
    rng = np.random.default_rng(1)
    p = rng.beta(1, 5, 2_000)
    right = (rng.random(2_000) < p).astype(int)
    rows = np.stack([1 - p, p], axis=1).tolist()
    scaling = Scaling(weights=fit_weights(rows, right.tolist()))
    by_threshold = max(f1_score(right, p > t, average="macro") for t in np.linspace(0.05, 0.5, 46))
    found = f1_score(right, [scaling.decide(row) for row in rows], average="macro")
    assert found == pytest.approx(by_threshold, abs=0.02)
    assert found > f1_score(right, p > 0.5, average="macro") + 0.02


@given(st.floats(0.1, 5.0), st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(-3, 3)), min_size=2, max_size=5))
def test_bias_is_added_to_the_scaled_logarithms(temperature: float, names: list[tuple[float, float]]):
    total = math.fsum(p for p, _ in names)
    row, bias = [p / total for p, _ in names], tuple(b for _, b in names)
    scaled = Scaling("temperature", temperature, bias=bias).of_all(row)
    powers = [p ** (1 / temperature) * math.exp(b) for p, b in zip(row, bias, strict=True)]
    assert scaled == pytest.approx([power / math.fsum(powers) for power in powers])


def test_a_prior_holds_the_temperature_of_few_rows_near_one_and_of_many_where_it_is():
    rng = np.random.default_rng(0)
    for count, near in ((LEAST_EVENTS, True), (20_000, False)):
        said = rng.uniform(0.05, 0.95, count)
        true = 1 / (1 + np.exp(-np.log(said / (1 - said)) / 3.0))  # the temperature is 3
        rows, right = [(p, 1 - p) for p in said], [0 if x else 1 for x in rng.random(count) < true]
        plain, held = fit_temperature(rows, right).temperature, fit_temperature(rows, right, 0.1).temperature
        assert abs(math.log(held)) < abs(math.log(plain))
        assert (held < 2.0) == near
