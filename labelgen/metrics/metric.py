"""The contract of a metric: a pair of functions, so that intervals can resample dialogues.

`tally` maps one dialogue to a row of counts or scores, `value` maps rows to numbers. How often each row counts is a second
argument: a resample is a vector of counts, and one call values many resamples at once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelgen.base.registry import resolve
from labelgen.data.labels import At, Label
from labelgen.metrics import METRICS

Array = NDArray[np.float64]
Answered = Mapping[At, tuple[Label, ...]]
"""scope -> labels, as labelgen.data.labels.answers gives them; () says that no label holds there."""


@dataclass(frozen=True, slots=True)
class Item:
    """One dialogue's answers, by the reference and as predicted.

    requests: the text of each turn's request. Only fields that the reference answers count; one that the prediction
    lacks is a miss."""

    requests: tuple[str, ...]
    reference: Answered
    predicted: Answered


Row = Any
"""What a metric keeps of a dialogue; known to its two functions alone."""


@dataclass(frozen=True, slots=True)
class Metric:
    """tally: one dialogue to its row. value: rows [D] and times [R, D], how often resample r takes row d, to one value
    for each resample, [R]; NaN where nothing is there to be judged. what: one line for readers."""

    tally: Callable[[Item], Row]
    value: Callable[[Sequence[Row], Array], Array]
    what: str
    larger_is_better: bool = True


def metric(name: str) -> Metric:
    """The metric of that name. Raises UsageError for an unknown one."""
    known: Metric = resolve(METRICS, name, "metric")
    return known


def measure(metric: Metric, items: Sequence[Item]) -> float:
    """The metric over all items, each once; NaN where nothing is there to be judged."""
    rows = [metric.tally(item) for item in items]
    return float(metric.value(rows, np.ones((1, len(rows))))[0])


def divide(above: Array, below: Array) -> Array:
    """above / below, NaN where below is 0."""
    out = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out


def of_counts(formula: Callable[[Array], Array]) -> Callable[[Sequence[Row], Array], Array]:
    """A value from rows that are tuples of counts, all of one width C: formula maps summed counts [R, C] to [R]."""

    def value(rows: Sequence[Row], times: Array) -> Array:
        if not rows:
            return np.full(len(times), np.nan)
        return formula(times @ np.asarray(rows, dtype=np.float64))

    return value


def of_named_counts(formula: Callable[[Array], Array], width: int) -> Callable[[Sequence[Row], Array], Array]:
    """A value from rows that map names to tuples of `width` counts: formula maps summed counts [R, names, width], the
    names in their order, to [R]."""

    def value(rows: Sequence[Row], times: Array) -> Array:
        names = sorted({name for row in rows for name in row})
        place = {name: k for k, name in enumerate(names)}
        table = np.zeros((len(rows), len(names), width))
        for d, row in enumerate(rows):
            for name, counts in row.items():
                table[d, place[name]] = counts
        summed = times @ table.reshape(len(rows), math.prod(table.shape[1:]))
        return formula(summed.reshape(len(times), len(names), width))

    return value


def of_scored(formula: Callable[[Array, Array], Array], width: int) -> Callable[[Sequence[Row], Array], Array]:
    """A value from rows that are lists of tuples of `width` scores, one for each thing judged: formula maps all scores
    [N, width] and their weights [R, N] to [R]."""

    def value(rows: Sequence[Row], times: Array) -> Array:
        scores = np.asarray([score for row in rows for score in row], dtype=np.float64).reshape(-1, width)
        owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        return formula(scores, times[:, owner])

    return value


def f1(right: Array, predicted: Array, wanted: Array) -> Array:
    """Harmonic mean of precision right / predicted and recall right / wanted; NaN where nothing is predicted nor wanted."""
    return divide(2.0 * right, predicted + wanted)
