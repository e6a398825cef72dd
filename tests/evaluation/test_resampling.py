"""Intervals: seeded, paired, over whole dialogues, and as wide as theory says."""

import numpy as np
import pytest

from labelgen.confidence.resampling import (
    Interval,
    interval,
    paired_difference,
    paired_ratio,
    resampled,
    resamples,
)


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


def test_pairing_removes_what_two_candidates_share():
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
    assert np.isnan([found.value, found.low, found.high]).all()
    some = interval(0.5, np.array([nothing, 0.4, 0.6]))
    assert 0.4 <= some.low <= some.high <= 0.6
    zero = Interval(0.0, 0.0, 0.0)
    assert np.isnan(paired_ratio(zero, zero, (np.zeros(3), np.zeros(3))).value)
