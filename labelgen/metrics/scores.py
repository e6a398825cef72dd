"""Metrics of probabilities and ratings.

They judge the probability, not the name. An annotator who gives no probabilities has no value here."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from labelgen.data.labels import At, AtGoal, Label
from labelgen.metrics.metric import Array, Item, Metric, divide, of_counts, of_scored

CALIBRATION_BINS = 15


def probability_of(name: str, labels: tuple[Label, ...]) -> float | None:
    """What an answer of an exclusive task says of one name; None where it gives no probabilities.

    Without a distribution, a name that was not chosen has what the chosen one leaves, an upper bound where there are
    more than two."""
    for label in labels:
        if label.distribution is not None:
            return dict(label.distribution).get(name, 0.0)
        if label.probability is not None:
            return label.probability if label.name == name else 1.0 - label.probability
    return None


def events(item: Item) -> list[tuple[float, float]]:
    """(probability, 1 if right else 0) for each label that is given with a probability in a field that the reference
    answers. Right is the very label: name and turn, name and span, the goal's exact turns."""
    pairs = []
    for at, wanted in item.reference.items():
        true = {(label.at, label.name) for label in wanted}
        for label in item.predicted.get(at, ()):
            if label.probability is not None:
                pairs.append((label.probability, float((label.at, label.name) in true)))
    return pairs


def _named_scores(name: str) -> Callable[[Item], list[tuple[float, float, float]]]:
    def tally(item: Item) -> list[tuple[float, float, float]]:
        """(score, 1 if the reference has the name, 1 if a probability was given); what is absent or has no probability
        ranks behind everything."""
        rows = []
        for at, wanted in item.reference.items():
            if wanted:
                p = probability_of(name, item.predicted.get(at, ()))
                rows.append((-1.0 if p is None else p, float(wanted[0].name == name), float(p is not None)))
        return rows

    return tally


def _matched_scores(name: str) -> Callable[[Item], list[tuple[float, float, float]]]:
    exact = _named_scores(name)

    def tally(item: Item) -> list[tuple[float, float, float]]:
        """As `_named_scores`, for goals alone, each judged by the predicted goal that it is matched with."""
        wanted = [at for at in item.reference if isinstance(at, AtGoal)]
        matched = match_goals(wanted, [at for at in item.predicted if isinstance(at, AtGoal)])
        predicted: dict[At, tuple[Label, ...]] = {at: item.predicted[other] for at, other in matched.items()}
        return exact(replace(item, reference={at: item.reference[at] for at in wanted}, predicted=predicted))

    return tally


def match_goals(wanted: Sequence[AtGoal], predicted: Sequence[AtGoal]) -> dict[AtGoal, AtGoal]:
    """Each wanted goal with a predicted one, one to one, so that the sum of overlaps (Jaccard index of their turns) is largest
    (Kuhn 1955, "The Hungarian Method for the Assignment Problem"). Goals that overlap with none stay out."""
    if not wanted or not predicted:
        return {}
    overlap = np.array(
        [[len({*a.turns} & {*b.turns}) / len({*a.turns} | {*b.turns}) for b in predicted] for a in wanted]
    )
    rows, columns = linear_sum_assignment(-overlap)
    return {wanted[a]: predicted[b] for a, b in zip(rows, columns, strict=True) if overlap[a, b] > 0}


def _average_precision(scores: Array, weights: Array) -> Array:
    """Sum of precision times step in recall over distinct scores, from the highest down, for each row of weights."""
    if not len(scores) or not scores[:, 2].any():
        return np.full(len(weights), np.nan)
    order = np.argsort(-scores[:, 0], kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order, 0]) != 0, True))
    weighed = weights[:, order]
    taken = np.cumsum(weighed, axis=1)[:, ends]
    right = np.cumsum(weighed * scores[order, 1], axis=1)[:, ends]
    precision = np.divide(right, taken, out=np.zeros_like(right), where=taken > 0)
    steps = np.diff(right, axis=1, prepend=0.0)
    return divide((precision * steps).sum(axis=1), right[:, -1])


def _nats(item: Item) -> tuple[float, int]:
    """(sum of -log p of the reference's name, answers with probabilities)."""
    nats, count = 0.0, 0
    for at, wanted in item.reference.items():
        p = probability_of(wanted[0].name, item.predicted.get(at, ())) if wanted else None
        if p is not None:
            # As in scikit-learn, a certainty that is wrong costs a finite amount.
            nats -= math.log(min(1.0, max(p, sys.float_info.epsilon)))
            count += 1
    return nats, count


def bin_of(probability: float) -> int:
    """The calibration bin of a probability: equal widths, each holding its lower edge, the last one both."""
    return min(int(probability * CALIBRATION_BINS), CALIBRATION_BINS - 1)


def _gaps(item: Item) -> list[float]:
    """For each bin the sum of (right - probability), and the number of events last."""
    row = [0.0] * (CALIBRATION_BINS + 1)
    for probability, right in events(item):
        row[bin_of(probability)] += right - probability
        row[-1] += 1
    return row


def _ratings(item: Item) -> list[tuple[float, float]]:
    rows = []
    for at, wanted in item.reference.items():
        predicted = item.predicted.get(at, ())
        if wanted and predicted:
            true, value = wanted[0].value, predicted[0].value
            if isinstance(true, (int, float)) and isinstance(value, (int, float)):
                rows.append((float(true), float(value)))
    return rows


def _ranks(values: Array, weights: Array) -> Array:
    """Mean rank of each value in each weighted sample, [R, N]; equal values share theirs."""
    distinct, place = np.unique(values, return_inverse=True)
    mass = np.zeros((len(weights), len(distinct)))
    np.add.at(mass.T, place, weights.T)
    middle = np.cumsum(mass, axis=1) - (mass - 1.0) / 2.0
    return middle[:, place]


def _spearman(scores: Array, weights: Array) -> Array:
    if not len(scores):
        return np.full(len(weights), np.nan)
    total = weights.sum(axis=1, keepdims=True)
    first, second = _ranks(scores[:, 0], weights), _ranks(scores[:, 1], weights)
    first = first - divide((weights * first).sum(axis=1, keepdims=True), total)
    second = second - divide((weights * second).sum(axis=1, keepdims=True), total)
    spread = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
    # Below rounding error both are constant, and rank correlation is not defined.
    return divide((weights * first * second).sum(axis=1), np.sqrt(np.where(spread > 1e-9, spread, 0.0)))


def _auprc(name: str, words: str) -> Metric:
    what = f"area under the precision-recall curve of {words} (average precision); what is absent ranks last"
    return Metric(_named_scores(name), of_scored(_average_precision, 3), what)


failure_auprc = _auprc("failure", "finding failures")
matched_failure_auprc = Metric(
    _matched_scores("failure"),
    of_scored(_average_precision, 3),
    "area under the precision-recall curve of finding failures (average precision), where each goal is judged by the predicted goal that it "
    "overlaps with, one to one; what is absent ranks last",
)
bad_auprc = _auprc("bad", "finding bad responses")
log_loss = Metric(
    _nats,
    of_counts(lambda n: divide(n[:, 0], n[:, 1])),
    "mean negative log-probability of the reference's name, in nats; over answers that carry probabilities",
    larger_is_better=False,
)
ece = Metric(
    _gaps,
    of_counts(lambda n: divide(np.abs(n[:, :-1]).sum(axis=1), n[:, -1])),
    f"expected calibration error of the answers given, {CALIBRATION_BINS} equal bins (Guo et al. 2017)",
    larger_is_better=False,
)
spearman_rho = Metric(
    _ratings, of_scored(_spearman, 2), "rank correlation of the ratings (Spearman 1904), where both give one"
)
