"""Who knows all of an item but not who rates it."""

import math
from collections import Counter

import numpy as np
from item_ceiling import macro_f1_of_who_knows_the_item

from labelgen.data.labels import quality_name
from labelgen.metrics.categories import macro_f1


def rated(share: float, items: int = 4000, raters: int = 3) -> list[list[float]]:
    """Grades of which this share of the variance is the item's."""
    rng = np.random.default_rng(1)
    item = rng.standard_normal((items, 1))
    noise = rng.standard_normal((items, raters))
    grades = 1.0 + np.searchsorted([-1.2, -0.3, 0.4, 1.3], share**0.5 * item + (1 - share) ** 0.5 * noise)
    return [list(map(float, row)) for row in grades]


def test_the_more_raters_agree_the_more_can_be_known():
    found = [macro_f1_of_who_knows_the_item(rated(share), 0) for share in (0.0, 0.2, 0.5, 0.9)]
    assert found == sorted(found)
    assert found[0] < 0.4
    assert found[-1] > 0.75


def test_it_is_above_one_more_rater():
    grades = rated(0.3, raters=4)
    said = Counter((quality_name(float(np.mean(row[1:]))), quality_name(row[0])) for row in grades)
    one = macro_f1.value([said], np.ones((1, 1)))[0]
    assert one < macro_f1_of_who_knows_the_item([row[1:] for row in grades], 0)


def test_raters_who_always_agree_leave_nothing_to_guess():
    assert macro_f1_of_who_knows_the_item([[2.0, 2.0], [4.0, 4.0]], 0) > 0.6
    assert math.isnan(macro_f1_of_who_knows_the_item([[3.0, 3.0], [3.0, 3.0, 3.0]], 0))


def test_single_ratings_tell_nothing():
    assert math.isnan(macro_f1_of_who_knows_the_item([[3.0], [4.0]], 0))
    assert macro_f1_of_who_knows_the_item(rated(0.4), 0) == macro_f1_of_who_knows_the_item(rated(0.4), 0)
