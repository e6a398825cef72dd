"""Metrics of how a dialogue is divided into goals.

Goals may interleave, and a turn may serve none. B-cubed looks at which turns belong together; boundaries, Pk and
WindowDiff read the dialogue as a line of segments: a border lies between two turns that do not serve the same goal, so
returning to a goal is a border too, and neighboring turns that serve none are one segment.

Variation of information, one-to-one overlap and exact match compare partitions: a turn that serves none is a goal of its own.
Counts are summed over dialogues. Source: Kummerfeld et al. 2019, "A Large-Scale Corpus for Conversation Disentanglement", section
5.1, and `tools/evaluation` of its corpus."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from operator import and_

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import xlogy

from labelgen.data.labels import AtGoal, Label
from labelgen.metrics.metric import Array, Item, Metric, divide, f1, of_counts

Goals = list[tuple[int, ...]]
Numbers = NDArray[np.int64]


def _goals(labels: Iterable[Label]) -> Goals:
    return [label.at.turns for label in labels if isinstance(label.at, AtGoal)]


def _divisions(item: Item) -> list[tuple[Goals, Goals]]:
    """(wanted, predicted) for each division that the reference makes; a missing answer is one without goals."""
    return [(_goals(wanted), _goals(item.predicted.get(at, ()))) for at, wanted in item.reference.items()]


def _b_cubed(item: Item) -> tuple[float, float, float, float]:
    """(sum of precision, turns of predicted goals, sum of recall, turns of wanted goals).

    A turn's precision is the share of its predicted goal that shares its wanted goal: 0 where it serves none in truth. Turns
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
    """0 where goals are predicted or wanted and none is found; NaN where there are none on both sides."""
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
    """(borders of both, borders predicted, borders wanted)."""
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


def _numbers(goals: Goals, turns: int) -> Numbers:
    """The number of each turn's goal; each turn that serves none is a goal of its own."""
    numbers = np.arange(len(goals), len(goals) + turns)
    for k, goal in enumerate(goals):
        numbers[list(goal)] = k
    return numbers


def _overlaps(item: Item) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Of each division, for each pair of a wanted and a predicted goal that share turns: both numbers, and how many they share."""
    for wanted, predicted in _divisions(item):
        theirs, ours = (_numbers(goals, len(item.requests)) for goals in (wanted, predicted))
        most = int(ours.max(initial=0)) + 1
        pairs, shared = np.unique(theirs * most + ours, return_counts=True)
        yield pairs // most, pairs % most, shared


def _information(item: Item) -> tuple[float, int]:
    """(variation of information in nats times turns, turns). VI is H(wanted | predicted) + H(predicted | wanted) (Meila 2007)."""
    variation, turns = 0.0, 0
    for theirs, ours, shared in _overlaps(item):
        for goals in (theirs, ours):
            sizes = np.bincount(goals, shared)
            variation += float(xlogy(sizes, sizes).sum())
        variation -= 2.0 * float(xlogy(shared, shared).sum())
        turns += int(shared.sum())
    return variation, turns


def _scaled_information(n: Array) -> Array:
    """1 - VI / log of the number of turns; NaN for fewer than two turns."""
    most = np.log(np.maximum(n[:, 1], 1.0))
    return 1.0 - divide(divide(n[:, 0], n[:, 1]), most)


def _one_to_one(item: Item) -> tuple[float, float]:
    """(turns shared under the best pairing of goals, turns). Goals that share no turn, not even through others, are paired apart, so that
    long dialogues with few errors take little memory."""
    matched = turns = 0.0
    for theirs, ours, shared in _overlaps(item):
        turns += float(shared.sum())
        count = len(shared)
        if count <= _FEW:
            matched += _best_pairing(theirs, ours, shared) if count else 0.0
            continue
        rows, columns = (np.unique(goals, return_inverse=True)[1] for goals in (theirs, ours))
        first = int(rows.max()) + 1
        nodes = first + int(columns.max()) + 1
        graph = coo_array((np.ones(count), (rows, first + columns)), shape=(nodes, nodes))
        part = connected_components(graph, directed=False)[1][rows]
        order = np.argsort(part, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            matched += _best_pairing(rows[places], columns[places], shared[places])
    return matched, turns


_FEW = 200
"""Pairs of goals up to which one table is faster."""


def _best_pairing(rows: Numbers, columns: Numbers, shared: Numbers) -> float:
    """Turns shared under the best pairing of these goals."""
    if len(shared) == 1:
        return float(shared[0])
    (row_of, column_of) = (np.unique(goals, return_inverse=True)[1] for goals in (rows, columns))
    table = np.zeros((row_of.max() + 1, column_of.max() + 1))
    table[row_of, column_of] = shared
    return float(table[linear_sum_assignment(table, maximize=True)].sum())


def _several_turns(item: Item) -> tuple[int, int, int]:
    """(goals of both, predicted, wanted), of those with more than one turn."""
    both = ours = theirs = 0
    for wanted, predicted in _divisions(item):
        a, b = ({goal for goal in goals if len(goal) > 1} for goals in (predicted, wanted))
        both, ours, theirs = both + len(a & b), ours + len(a), theirs + len(b)
    return both, ours, theirs


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
variation_of_information = Metric(
    _information,
    of_counts(_scaled_information),
    "1 - VI / log n: variation of information between the divisions, scaled by the number of turns (Kummerfeld et al. 2019)",
)
one_to_one = Metric(
    _one_to_one,
    _share,
    "share of turns in common under the best one-to-one pairing of goals (Elsner and Charniak 2008)",
)
exact_goal_f1_several = Metric(
    _several_turns,
    of_counts(lambda n: f1(n[:, 0], n[:, 1], n[:, 2])),
    "F1 over exactly right goals of two turns or more (Kummerfeld et al. 2019)",
)
