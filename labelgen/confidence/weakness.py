"""When a model has learned nothing about a task: its labels are withheld, and the reason is said."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_ANSWERS = 30
"""With fewer answers there is no interval and no verdict: too few to tell."""

LEAST_SPREAD = 0.05
"""With a smaller range of probabilities the model cannot rank items."""

_LEVEL, _DRAWS = 0.8, 400

Floats = NDArray[np.float64]


def weakness(good: Floats, answers: Floats, users: Sequence[str]) -> str:
    """Why labels of these items should be withheld; "" where nothing speaks against them.

    They are withheld where all probabilities lie within LEAST_SPREAD of each other; and where users answered about LEAST_ANSWERS
    items or more, and the interval of the AUC includes one half or lies below it.

    Args:
        good: probability that each item went well, by a model without the answer about it as input.
        answers: 1 where the answer says that it went well, 0 where it says that it did not, NaN without an answer.
        users: the independent unit of each item."""
    if len(good) and (spread := float(np.ptp(good))) < LEAST_SPREAD:
        return f"all its probabilities lie within {spread:.3f} of each other"
    known = ~np.isnan(answers)
    right = answers[known] > 0.5
    if known.sum() < LEAST_ANSWERS or not 0 < right.sum() < len(right):
        return ""
    names, unit = np.unique(np.array(users)[known], return_inverse=True)
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), _DRAWS)
    areas = [weighted_auc(good[known], right, drawn[unit].astype(np.float64)) for drawn in times]
    low, high = np.nanquantile(areas, [(1.0 - _LEVEL) / 2.0, (1.0 + _LEVEL) / 2.0])
    if low > 0.5:
        return ""
    auc = weighted_auc(good[known], right, np.ones(len(right)))
    return (
        f"it ranks {len(right):,} answers of {len(names):,} users no better than chance: AUC {auc:.2f}, "
        f"{_LEVEL:.0%} interval {low:.2f} to {high:.2f}"
    )


def weighted_auc(scores: Floats, right: NDArray[np.bool_], weights: Floats) -> float:
    """The share of pairs of a right and a wrong item of which the right one scores higher, ties half; NaN without pairs."""
    _, place = np.unique(scores, return_inverse=True)
    of_right = np.bincount(place, weights * right)
    of_wrong = np.bincount(place, weights * ~right)
    below = np.cumsum(of_wrong) - of_wrong / 2.0
    pairs = of_right.sum() * of_wrong.sum()
    return float((of_right * below).sum() / pairs) if pairs else float("nan")
