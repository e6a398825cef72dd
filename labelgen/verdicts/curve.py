"""How well labels rank what users said, by the number of answers that EM learns from: what more answers would bring.

For each number of answers so many are drawn, several times. EM sees those and no other answer, and ranks the others, each by content from
folds over users without it and by implicit witnesses. So the first point, without answers, is what implicit feedback alone gives. The curve
a - b / sqrt(n + n0) is fitted to the other points, and its rise to the next hundred answers is the gain to expect. Source of the form: Cortes et
al. 1994, "Learning curves: asymptotic values and rate of convergence"."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import interval
from labelgen.confidence.weakness import weighted_auc
from labelgen.data.labels import UNIT_OF, Unit
from labelgen.data.split import position, user_key
from labelgen.feedback.items import FeedbackItem
from labelgen.metrics.results import Interval
from labelgen.verdicts.estimate import LogFit

SIZES = (0, 25, 50, 100, 200, 400, 800, 1600)
"""Numbers of answers that are tried, as far as LEAST_JUDGED others are left."""
LEAST_JUDGED = 30
NEXT = 100
"""Answers whose gain is foretold."""
MOST_ITEMS = 3000
"""Items of a unit that EM reads; those that users answered come first."""
_DRAWS, _RESAMPLES, _OFFSET, _LEAST_SIZES = 3, 200, 50.0, 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AnswerCurve:
    """Of one unit. answers: about so many items, by so many users. sizes: numbers of answers that were learned from. areas: AUC of the other
    answers at each, with 95% intervals over users and draws. gain: of the next NEXT answers; not known with fewer than three sizes above 0."""

    unit: Unit
    answers: int
    users: int
    sizes: tuple[int, ...]
    areas: tuple[Interval, ...]
    gain: Interval


def answer_curves(
    items: Iterable[FeedbackItem], progress: Callable[[list[int]], Iterable[int]] = iter
) -> Iterator[AnswerCurve]:
    """The curve of each unit about which users said enough: yes and no, at least 2 LEAST_JUDGED together. progress: yields the numbers of
    the rounds."""
    by_unit: dict[Unit, list[FeedbackItem]] = {}
    for item in items:
        by_unit.setdefault(UNIT_OF[type(item.at)], []).append(item)
    for unit, of_unit in sorted(by_unit.items()):
        chosen = sorted(of_unit, key=lambda item: (_good(item) is None, position(0, f"curve {item.dialogue.id}")))
        chosen = sorted(chosen[:MOST_ITEMS], key=lambda item: (item.dialogue.id, str(item.at)))
        said = [_good(item) for item in chosen]
        judged = np.flatnonzero([good is not None for good in said])
        right = np.array([bool(good) for good in said])
        if len(judged) >= 2 * LEAST_JUDGED and 0 < right[judged].sum() < len(judged):
            yield _curve(unit, chosen, judged, right, progress)


def _good(item: FeedbackItem) -> bool | None:
    """What the user said explicitly, where it is one thing."""
    votes = {signal.vote for signal in item.signals if signal.explicit}
    return None if len(votes) != 1 or "fair" in votes else "good" in votes


def _curve(
    unit: Unit,
    items: list[FeedbackItem],
    judged: NDArray[np.int64],
    right: NDArray[np.bool_],
    progress: Callable[[list[int]], Iterable[int]],
) -> AnswerCurve:
    fit = LogFit(items)
    names, owner = np.unique([user_key(item.dialogue) for item in items], return_inverse=True)
    sizes = tuple(size for size in SIZES if size + LEAST_JUDGED <= len(judged))
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), _RESAMPLES)
    values, drawn = np.full((len(sizes), _DRAWS), np.nan), np.full((len(sizes), _DRAWS, _RESAMPLES), np.nan)
    for place in progress(list(range(len(sizes) * _DRAWS))):
        k, draw = divmod(place, _DRAWS)
        order = rng.permutation(judged)
        kept = np.zeros(len(items), bool)
        kept[order[: sizes[k]]] = True
        others = order[sizes[k] :]
        nats = fit.ranked(kept)[others]
        values[k, draw] = weighted_auc(nats, right[others], np.ones(len(others)))
        drawn[k, draw] = [weighted_auc(nats, right[others], t[owner[others]].astype(float)) for t in times]
    means = np.nanmean(values, axis=1)
    of_draws = np.nanmean(drawn, axis=1)
    areas = tuple(interval(float(mean), row) for mean, row in zip(means, of_draws, strict=True))
    users = len(np.unique(owner[judged]))
    return AnswerCurve(unit, len(judged), users, sizes, areas, _gain(sizes, len(judged), means, of_draws))


def _gain(sizes: tuple[int, ...], now: int, means: Floats, drawn: Floats) -> Interval:
    """Rise of the curve, fitted to the sizes above 0, from all answers to NEXT more; at most to 1."""
    means, drawn = means[1:], drawn[1:]
    if len(means) < _LEAST_SIZES:
        return Interval(None)
    shape = 1.0 / np.sqrt(np.array(sizes[1:]) + _OFFSET)
    rise = 1.0 / math.sqrt(now + NEXT + _OFFSET) - 1.0 / math.sqrt(now + _OFFSET)
    centered = shape - shape.mean()

    def gain(areas: Floats) -> Floats:
        # The slope of least squares; more answers do not make labels worse in the long run.
        slopes = np.minimum(centered @ areas / (centered @ centered), 0.0)
        result: Floats = np.minimum(slopes * rise, 1.0 - areas[-1])
        return result

    return interval(float(gain(means[:, None])[0]), gain(drawn))
