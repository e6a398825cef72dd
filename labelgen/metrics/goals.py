"""Metrics of how a dialogue is divided into goals.

Goals may interleave, and a turn may serve none. B-cubed looks at which turns belong together; boundaries, Pk and
WindowDiff read the dialogue as a line of segments: a border lies between two turns that do not serve the same goal, so
returning to a goal is a border too, and neighboring turns that serve none are one segment."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from operator import and_

import numpy as np

from labelgen.data.labels import AtGoal, Label
from labelgen.metrics.metric import Array, Item, Metric, divide, f1, of_counts

Goals = list[tuple[int, ...]]


def _goals(labels: Iterable[Label]) -> Goals:
    return [label.at.turns for label in labels if isinstance(label.at, AtGoal)]


def _divisions(item: Item) -> list[tuple[Goals, Goals]]:
    """(wanted, given) for each division that the reference makes; a missing answer is one without goals."""
    return [(_goals(wanted), _goals(item.predicted.get(at, ()))) for at, wanted in item.reference.items()]


def _b_cubed(item: Item) -> tuple[float, float, float, float]:
    """(sum of precision, turns of given goals, sum of recall, turns of wanted goals).

    A turn's precision is the share of its given goal that shares its wanted goal: 0 where it serves none in truth. Turns
    that serve none on both sides are not judged."""
    precision = recall = 0.0
    served = due = 0
    for wanted, predicted in _divisions(item):
        precision += _shared(predicted, wanted)
        recall += _shared(wanted, predicted)
        served += sum(map(len, predicted))
        due += sum(map(len, wanted))
    return precision, served, recall, due


def _b_cubed_f1(n: Array) -> Array:
    """0 where goals are given or wanted and none is found; NaN where there are none on both sides."""
    precision, recall = divide(n[:, 0], n[:, 1]), divide(n[:, 2], n[:, 3])
    value = f1(precision * recall, precision, recall)
    return np.where(np.isnan(value) & (n[:, 1] + n[:, 3] > 0), 0.0, value)


def _shared(ours: Goals, theirs: Goals) -> float:
    return sum(len(set(a) & set(b)) ** 2 / len(a) for a in ours for b in theirs)


def borders(goals: Goals, turns: int) -> list[bool]:
    """For each pair of neighboring turns, whether a border lies between them; empty for fewer than two turns."""
    serves: list[int | None] = [None] * turns
    for k, goal in enumerate(goals):
        for turn in goal:
            serves[turn] = k
    return [a != b for a, b in pairwise(serves)]


def _borders(item: Item) -> tuple[int, int, int]:
    """(borders of both, borders given, borders wanted)."""
    both = ours = theirs = 0
    for wanted, predicted in _divisions(item):
        a, b = borders(predicted, len(item.requests)), borders(wanted, len(item.requests))
        both, ours, theirs = both + sum(map(and_, a, b)), ours + sum(a), theirs + sum(b)
    return both, ours, theirs


def window(wanted: list[bool]) -> int:
    """Half the mean length of the reference's segments, in turns, at least 1; halves round up."""
    return max(1, math.floor((len(wanted) + 1) / (sum(wanted) + 1) / 2 + 0.5))


def _windows(wrong: Callable[[list[bool], list[bool]], bool]) -> Callable[[Item], tuple[int, int]]:
    def tally(item: Item) -> tuple[int, int]:
        """(wrong windows, windows): from each turn to the one k later, k by the reference of this dialogue."""
        errors = windows = 0
        for wanted, predicted in _divisions(item):
            a, b = borders(wanted, len(item.requests)), borders(predicted, len(item.requests))
            k = window(a)
            starts = range(len(a) - k + 1)
            errors += sum(wrong(a[s : s + k], b[s : s + k]) for s in starts)
            windows += len(starts)
        return errors, windows

    return tally


_share = of_counts(lambda n: divide(n[:, 0], n[:, 1]))

b_cubed_f1 = Metric(_b_cubed, of_counts(_b_cubed_f1), "B-cubed F1 over turns (Bagga and Baldwin 1998)")
boundary_f1 = Metric(
    _borders,
    of_counts(lambda n: f1(n[:, 0], n[:, 1], n[:, 2])),
    "F1 over borders between neighboring turns that serve different goals",
)
pk = Metric(
    _windows(lambda a, b: any(a) != any(b)),
    _share,
    "Pk: share of windows that are judged wrongly as within one segment or not (Beeferman et al. 1999)",
    larger_is_better=False,
)
window_diff = Metric(
    _windows(lambda a, b: sum(a) != sum(b)),
    _share,
    "WindowDiff: share of windows with a wrong number of borders (Pevzner and Hearst 2002)",
    larger_is_better=False,
)
