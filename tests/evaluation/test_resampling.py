# mypy: disable-error-code="operator,arg-type"
"""Intervals: seeded, paired, over whole dialogues, and as wide as theory says."""

import numpy as np
import pytest

from labelgen.confidence.resampling import (
    interval,
    over_trainings,
    paired_difference,
    paired_ratio,
    resampled,
    resamples,
)
from labelgen.metrics.results import Interval


def mean_of(values):
    return lambda times: times @ values / times.sum(axis=1)


def test_each_resample_takes_as_many_dialogues_as_there_are():
    times = resamples(7, 50, 3)
    assert times.shape == (50, 7)
    assert (times.sum(axis=1) == 7).all()
    assert (times == resamples(7, 50, 3)).all()
    assert (times != resamples(7, 50, 4)).any()


def test_an_interval_covers_the_truth_as_often_as_it_says():
    """Means of 60 draws with mean 0.3: the 90% interval holds 0.3 in about 90% of 200 worlds."""
    rng = np.random.default_rng(0)
    held = 0
    for world in range(200):
        values = (rng.random(60) < 0.3).astype(float)
        found = interval(values.mean(), resampled(mean_of(values), resamples(60, 300, world)), 0.9)
        assert found.low <= found.value <= found.high
        held += found.low <= 0.3 <= found.high
    assert 0.82 <= held / 200 <= 0.95


def test_pairing_removes_what_two_systems_share():
    """Candidates that differ by a constant have a difference without spread, however noisy each is."""
    values = np.random.default_rng(1).random(40)
    times = resamples(40, 200, 0)
    draws = resampled(mean_of(values + 0.25), times), resampled(mean_of(values), times)
    ours, theirs = (interval(float(np.mean(v)), d) for v, d in zip((values + 0.25, values), draws, strict=True))
    difference = paired_difference(ours, theirs, draws)
    assert difference.value == pytest.approx(0.25)
    assert difference.high - difference.low < 1e-9
    assert ours.high - ours.low > 0.05
    ratio = paired_ratio(ours, theirs, draws)
    assert ratio.value == pytest.approx(ours.value / theirs.value)
    assert ratio.low < ratio.value < ratio.high


def test_what_is_not_defined_stays_so():
    nothing = float("nan")
    found = interval(nothing, np.array([nothing, nothing]))
    assert found.value is found.low is found.high is None
    for found in (interval(nothing, np.array([0.4, 0.6])), interval(0.5, np.array([nothing]))):
        assert found.low is found.high is None
    some = interval(0.5, np.array([nothing, 0.4, 0.6]))
    assert 0.4 <= some.low <= some.high <= 0.6
    zero = Interval(0.0, 0.0, 0.0)
    assert paired_ratio(zero, zero, (np.zeros(3), np.zeros(3))).value is None


def trained(statistics, times, seed):
    ones = np.ones((1, times.shape[1]))
    return over_trainings([float(s(ones)[0]) for s in statistics], [resampled(s, times) for s in statistics], seed)


def test_an_interval_over_trainings_holds_what_a_naive_two_level_bootstrap_draws():
    """Trainings that differ and dialogues that do not: the spread is that of the mean of trainings drawn with replacement."""
    constant = [lambda times, v=v: np.full(len(times), v) for v in (0.2, 0.5, 0.8)]
    value, draws = trained(constant, resamples(10, 4000, 0), 0)
    assert value == pytest.approx(0.5)
    naive = np.random.default_rng(5).choice([0.2, 0.5, 0.8], (4000, 3)).mean(axis=1)
    assert draws.std() == pytest.approx(naive.std(), rel=0.05)
    found = interval(value, draws)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(naive, [0.025, 0.975])))


def test_an_interval_over_dialogues_and_trainings_covers_the_mean_of_all_trainings():
    """A recipe whose trainings spread around 0.5, judged on 60 noisy dialogues: an interval over both covers 0.5 in nearly 90% of 200
    worlds, the mean of the trainings' own intervals in far fewer."""
    rng = np.random.default_rng(3)
    covered, averaged = 0, 0.0
    for world in range(200):
        noise = rng.normal(0, 0.1, 60)
        trainings = [mean_of(0.5 + rng.normal(0, 0.04) + noise) for _ in range(5)]
        times = resamples(60, 300, world)
        value, draws = trained(trainings, times, world)
        found = interval(value, draws, 0.9)
        covered += int(found.low <= 0.5 <= found.high)
        own = [interval(float(t(np.ones((1, 60)))[0]), resampled(t, times), 0.9) for t in trainings]
        averaged += float(np.mean([x.low for x in own]) <= 0.5 <= np.mean([x.high for x in own]))
    assert 0.8 <= covered / 200 <= 0.95
    assert averaged < covered - 20
