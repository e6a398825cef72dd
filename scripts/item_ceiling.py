"""How well the class of a mean rating can be told by who knows all of an item but not who rates it.

Ratings are drawn from an ordered probit model with a random effect for each item (Hedeker & Gibbons 1994): rater r of item i gives
the grade in whose interval b_i + e_ir falls, with b normal and e standard normal. The borders follow from the shares of the
grades, the variance of b from the correlation of two raters of one item. Items and raters are then simulated; the predictor knows
b and says the class that is the likeliest there, each class with a weight that is chosen for macro F1."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from labelgen.data.labels import QUALITY_NAMES, quality_name

GRADES = range(1, 6)
ITEMS, BINS = 60_000, 120
MOST = 0.999
"""Share of the variance that can be an item's."""
WEIGHTS = np.geomspace(0.25, 4.0, 17)

Array = NDArray[np.float64]


def macro_f1_of_who_knows_the_item(ratings: Sequence[Sequence[float]], seed: int) -> float:
    """ratings: of each item, on 1..5, brought to the next whole grade; those of one rating tell how the grades are shared and how many raters
    an item has. NaN where no item has two raters, or all give one grade."""
    ratings = [[round(grade) for grade in item] for item in ratings]
    pairs = np.array([(a, b) for item in ratings for k, a in enumerate(item) for j, b in enumerate(item) if j != k])
    if not len(pairs) or np.all(pairs == pairs[0, 0]):
        return float("nan")
    shares = np.array([sum(item.count(grade) for item in ratings) for grade in GRADES], dtype=np.float64)
    # Finite, so that no border is lost where a grade was never given.
    borders = norm.ppf(np.clip(np.cumsum(shares / shares.sum())[:-1], 1e-6, 1 - 1e-6))
    agreed = float(np.corrcoef(pairs.T)[0, 1])
    rng = np.random.default_rng(seed)
    item, one, other = rng.standard_normal((3, ITEMS))

    def correlation(share: float) -> float:
        """Of two raters' grades, where this share of the variance is the item's."""
        graded = [1 + np.searchsorted(borders, share**0.5 * item + (1 - share) ** 0.5 * e) for e in (one, other)]
        return float(np.corrcoef(graded)[0, 1])

    share = 0.0 if agreed <= correlation(0.0) else MOST
    if correlation(0.0) < agreed < correlation(MOST):
        share = float(brentq(lambda x: correlation(x) - agreed, 0.0, MOST, xtol=1e-3))
    counts = rng.choice([len(x) for x in ratings if x], size=ITEMS)
    noise = rng.standard_normal((ITEMS, int(counts.max())))
    graded = 1.0 + np.searchsorted(borders, share**0.5 * item[:, None] + (1 - share) ** 0.5 * noise)
    graded[np.arange(graded.shape[1]) >= counts[:, None]] = 0.0
    classes = [QUALITY_NAMES.index(quality_name(mean)) for mean in graded.sum(axis=1) / counts]
    bins = np.clip(np.digitize(item, np.linspace(-3.5, 3.5, BINS)), 0, BINS)
    found = np.zeros((BINS + 1, len(QUALITY_NAMES)))
    np.add.at(found, (bins, classes), 1.0)
    return max(_macro_f1(found, np.array([w, 1.0, v])) for w, v in product(WEIGHTS, WEIGHTS))


def _macro_f1(found: Array, weights: Array) -> float:
    """found: how often each class occurs at each place, [places, classes]."""
    said = np.argmax(found * weights, axis=1)
    table = np.array([found[said == k].sum(axis=0) for k in range(found.shape[1])])
    right = np.diagonal(table)
    total = table.sum(axis=1) + table.sum(axis=0)
    return float(np.mean(2 * right[total > 0] / total[total > 0]))
