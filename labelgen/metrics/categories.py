"""Metrics of tasks of which exactly one name holds at a place; all of them are read off the confusion matrix."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from labelgen.metrics.metric import Array, Item, Metric, Row, divide, f1

ABSENT = ""
"""The column of fields that the prediction lacks."""


def confusion(item: Item) -> Counter[tuple[str, str]]:
    """How often each (name of the reference, predicted name) stands at one field; ABSENT where nothing is predicted. Fields
    that the reference answers with "none" have no name and are left out."""
    pairs: Counter[tuple[str, str]] = Counter()
    for at, wanted in item.reference.items():
        if wanted:
            predicted = item.predicted.get(at, ())
            pairs[wanted[0].name, predicted[0].name if predicted else ABSENT] += 1
    return pairs


def matrix(rows: Sequence[Row], times: Array) -> tuple[list[str], Array]:
    """Names, sorted, and the summed confusion matrix [R, names, names + 1]: reference by predicted, absent last."""
    names = sorted({name for row in rows for pair in row for name in pair} - {ABSENT})
    place = {name: k for k, name in enumerate([*names, ABSENT])}
    table = np.zeros((len(rows), len(names), len(names) + 1))
    for d, row in enumerate(rows):
        for (wanted, predicted), count in row.items():
            table[d, place[wanted], place[predicted]] = count
    summed = times @ table.reshape(len(rows), math.prod(table.shape[1:]))
    return names, summed.reshape(len(times), len(names), len(names) + 1)


def _metric(formula: Callable[[list[str], Array], Array], what: str) -> Metric:
    def value(rows: Sequence[Row], times: Array) -> Array:
        names, counts = matrix(rows, times)
        return formula(names, counts) if names else np.full(len(times), np.nan)

    return Metric(confusion, value, what)


def _diagonal(counts: Array) -> Array:
    return np.diagonal(counts[:, :, :-1], axis1=1, axis2=2)


def _accuracy(names: list[str], counts: Array) -> Array:
    return divide(_diagonal(counts).sum(axis=1), counts.sum(axis=(1, 2)))


def _f1_by_name(counts: Array) -> Array:
    return f1(_diagonal(counts), counts[:, :, :-1].sum(axis=1), counts.sum(axis=2))


def _macro_f1(names: list[str], counts: Array) -> Array:
    return mean_of_defined(_f1_by_name(counts))


def mean_of_defined(values: Array) -> Array:
    """Mean over the last axis, of what is not NaN; NaN where nothing is defined."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


def _uar(names: list[str], counts: Array) -> Array:
    return mean_of_defined(divide(_diagonal(counts), counts.sum(axis=2)))


def _kappa(names: list[str], counts: Array) -> Array:
    total = counts.sum(axis=(1, 2))
    observed = divide(_diagonal(counts).sum(axis=1), total)
    by_chance = divide((counts.sum(axis=2) * counts[:, :, :-1].sum(axis=1)).sum(axis=1), total**2)
    return divide(observed - by_chance, 1.0 - by_chance)


def _f1_of(name: str) -> Callable[[list[str], Array], Array]:
    def formula(names: list[str], counts: Array) -> Array:
        if name not in names:
            return np.full(len(counts), np.nan)
        return _f1_by_name(counts)[:, names.index(name)]

    return formula


accuracy = _metric(_accuracy, "share of answers that are right")
macro_f1 = _metric(_macro_f1, "mean F1 over the names that occur in the reference or among the answers")
uar = _metric(_uar, "unweighted average recall: mean recall over the names of the reference")
cohen_kappa = _metric(_kappa, "agreement beyond chance (Cohen 1960)")
failure_f1 = _metric(_f1_of("failure"), "F1 of finding failures")
bad_f1 = _metric(_f1_of("bad"), "F1 of finding bad responses")
