"""Weights of names by source: fitted where a source has many answers, those of all where it has few."""

import numpy as np
import pytest

from labelgen.confidence.scaling import LEAST_EVENTS, SHRINKAGE, fit_weights, weights_by_source

Rows = tuple[list[list[float]], list[int]]


def answers(count: int, shift: float, seed: int) -> Rows:
    """Distributions over three names, of which the first is too unlikely by the factor e^shift."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * 2
    right = np.array([rng.choice(3, p=p / p.sum()) for p in np.exp(logits)])
    shifted = np.exp(logits - np.array([shift, 0.0, 0.0]))
    return (shifted / shifted.sum(axis=1, keepdims=True)).tolist(), right.tolist()


def both(count: int) -> tuple[list[list[float]], list[int], list[str | None]]:
    (p, a), (q, b) = answers(600, 0.0, 1), answers(count, 2.0, 2)
    sources: list[str | None] = [*["one"] * len(p), *["two"] * len(q)]
    return [*p, *q], [*a, *b], sources


def relative(weights: tuple[float, ...]) -> float:
    return float(np.log(weights[0]) - np.log(weights[1:]).mean())


def test_source_with_another_scale_gets_weights_of_its_own():
    rows, right, sources = both(600)
    of_all = fit_weights(rows, right)
    found = weights_by_source(rows, right, sources, of_all)
    assert relative(found["one"]) < relative(of_all) < relative(found["two"])


@pytest.mark.parametrize("count", [LEAST_EVENTS, 400])
def test_weights_are_the_geometric_mean_by_the_number_of_answers(count):
    rows, right, sources = both(count)
    of_all = fit_weights(rows, right)
    alone = fit_weights(rows[600:], right[600:])
    share = count / (count + SHRINKAGE)
    expected = np.exp(share * np.log(alone) + (1 - share) * np.log(of_all))
    assert weights_by_source(rows, right, sources, of_all)["two"] == pytest.approx(expected)


def test_few_answers_no_name_or_one_source_leave_the_weights_of_all():
    rows, right, sources = both(LEAST_EVENTS - 1)
    of_all = fit_weights(rows, right)
    assert "two" not in weights_by_source(rows, right, sources, of_all)
    assert weights_by_source(rows, right, [None if s == "two" else s for s in sources], of_all).keys() == {"one"}
    assert weights_by_source(rows, right, ["one"] * len(rows), of_all) == {}
    assert weights_by_source(rows[:9], right[:9], sources[:9], ()) == {}
