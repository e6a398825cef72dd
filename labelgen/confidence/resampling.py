"""Bootstrap confidence intervals over dialogues, and over dialogues and trainings.

Turns of one dialogue depend on each other, so dialogues are resampled, never turns. Source: Efron and Tibshirani 1993,
"An Introduction to the Bootstrap", percentile intervals (chapter 13)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from labelgen.metrics.results import Interval, number

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Maps times [R, D], how often resample r takes dialogue d, to one value for each resample, [R]."""

_AT_ONCE = 200
"""Resamples that are valued in one call; of no influence on the result, it bounds memory."""


def resamples(dialogues: int, count: int, seed: int) -> Array:
    """How often each of `count` resamples takes each dialogue, [count, dialogues]; each row sums to `dialogues`."""
    if not dialogues:
        return np.zeros((count, 0))
    taken = np.random.default_rng(seed).integers(0, dialogues, (count, dialogues))
    taken += dialogues * np.arange(count)[:, None]
    times = np.bincount(taken.ravel(), minlength=count * dialogues)
    return times.reshape(count, dialogues).astype(np.float64)


def resampled(statistic: Statistic, times: Array) -> Array:
    """The statistic of each resample, [R]. Statistics that are to be compared in pairs get the same `times`."""
    parts = [statistic(times[k : k + _AT_ONCE]) for k in range(0, len(times), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0)


def interval(value: float, draws: Array, level: float = 0.95) -> Interval:
    """The middle `level` of the draws. Draws that are not defined (NaN) are left out; without any other, the bounds
    are None."""
    defined = draws[np.isfinite(draws)]
    if not len(defined) or not np.isfinite(value):
        return Interval(number(value))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))


def of_statistic(statistic: Statistic, times: Array) -> Interval:
    """The statistic of the dialogues as they are, each taken once, with its interval over the resamples `times`."""
    return interval(float(statistic(np.ones((1, times.shape[1])))[0]), resampled(statistic, times))


def over_trainings(values: Sequence[float], draws: Sequence[Array], seed: int) -> tuple[float, Array]:
    """The mean over trainings of a statistic, and its value in each resample of dialogues and trainings, [R].

    values: the statistic of each training of one recipe, all about the same dialogues; draws: its values in the same resamples of
    dialogues, [R] each. A resample takes as many trainings as there are, with replacement. With few trainings the spread between
    them is underestimated: by a third of its variance with three. Differences stay paired where two systems get the same
    resamples and `seed`.

    Raises ValueError without any training. Source: Davison and Hinkley 1997, "Bootstrap Methods and their Application",
    section 3.8 (resampling at two levels, crossed)."""
    if not values:
        raise ValueError("no training to take the mean of")
    table = np.stack(draws, axis=1)
    taken = resamples(len(values), len(table), seed + 1)
    return float(np.mean(values)), (np.where(taken > 0, table, 0.0) * taken).sum(axis=1) / len(values)


def paired_ratio(first: Interval, second: Interval, draws: tuple[Array, Array], level: float = 0.95) -> Interval:
    """first / second, where both were drawn from the same resamples; None where second is 0."""
    return interval(_ratio(_array(first), _array(second))[0], _ratio(*draws), level)


def paired_difference(first: Interval, second: Interval, draws: tuple[Array, Array], level: float = 0.95) -> Interval:
    """first - second, where both were drawn from the same resamples."""
    return interval((_array(first) - _array(second))[0], draws[0] - draws[1], level)


def two_sided(draws: Array) -> float | None:
    """The p-value of a statistic that would be 0, from its resamples: twice the smaller share of them beyond 0, counting one more on either
    side, so that it is never 0. None where it is not defined. Source: Davison and Hinkley 1997, "Bootstrap Methods and their Application"."""
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return None
    least = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2.0 * (1 + least) / (1 + len(defined)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: to reject those at most at a level rejects any true null with a chance of at most the level."""
    order = np.argsort(p_values, kind="stable")
    times = np.arange(len(order), 0, -1)
    out = np.empty(len(order))
    out[order] = np.minimum(1.0, np.maximum.accumulate(times * np.asarray(p_values, dtype=np.float64)[order]))
    return [float(p) for p in out]


def _array(of: Interval) -> Array:
    """The value, NaN where it is not defined."""
    return np.array([of.value], dtype=np.float64)


def _ratio(above: Array, below: Array) -> Array:
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out
