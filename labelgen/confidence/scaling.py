"""Calibration of probabilities: temperature scaling or isotonic regression; and weights of names that maximize macro F1.

Sources: Guo et al. 2017, "On Calibration of Modern Neural Networks" (temperature); Zadrozny and Elkan 2002, "Transforming
Classifier Scores into Accurate Multiclass Probability Estimates" (isotonic); Lipton et al. 2014, "Optimal Thresholding of
Classifiers to Maximize F1 Measure" (the name that serves F1 best is not the most probable one).

Adaptation of a calibrated model to a new log from a few labeled dialogues: a bias of each name and a temperature, shrunk to no change.
Where several names may hold, a temperature that makes probabilities less sure.

The bias moves the line between names, as other annotators or users draw it. It is a maximum a posteriori estimate, whose prior is no
change. It is kept only if it predicts dialogues that it was not fitted on: leaving one dialogue out, the log loss must fall by more than
its standard error. So a log without a shift mostly leaves the model as it is. Weights of names are then those that maximize the
expected macro F1 under the adapted probabilities, not those of the few labels. That needs no labels, so all dialogues of the new log take
part: ten alone gave weights that lost more in single draws.

Sources: Alexandari et al. 2020, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation" (bias and
temperature); Breiman et al. 1984, "Classification and Regression Trees" (the rule of one standard error); Lipton et al. 2014 (expected
F1).
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array

SHRINKAGE = 100
"""Number of answers of a source at which its weights count as much as those of all sources."""
LEAST_EVENTS = 50
"""Minimum number of events; with fewer the probabilities do not change."""

_TINY = 1e-12
_KEEP = 1e-3
"""Share of the uncalibrated probability in the result of isotonic regression, so that different probabilities stay different."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """temperature: divides log-odds (of a distribution, log-probabilities); 1 changes nothing. x, y: a curve from given to
    right, rising in both, linear in between and flat beyond its ends. weights: of the names of a distribution, in their order;
    the predicted name has the greatest product of probability and weight. Empty: the most probable one. bias: added to the scaled
    logarithms of a distribution, in the order of names; empty for none."""

    kind: Literal["none", "temperature", "isotonic"] = "none"
    temperature: float = 1.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()

    def decide(self, distribution: Sequence[float]) -> int:
        """Index of the predicted name; the first of equal ones."""
        weights = self.weights or (1.0,) * len(distribution)
        return max(range(len(distribution)), key=lambda k: (weights[k] * distribution[k], -k))

    def of(self, probability: float) -> float:
        """Calibrated probability of one event, 0..1; monotone in `probability`."""
        if self.kind == "temperature":
            p = min(max(probability, _TINY), 1 - _TINY)
            return 1 / (1 + math.exp((math.log1p(-p) - math.log(p)) / self.temperature))
        if self.kind == "isotonic":
            return (1 - _KEEP) * self._on_curve(probability) + _KEEP * probability
        return probability

    def of_all(self, distribution: Sequence[float]) -> list[float]:
        """Calibrated distribution of exclusive events; without a bias the most probable event stays the same. Isotonic scaling changes
        nothing here."""
        if self.kind != "temperature":
            return list(distribution)
        bias = self.bias or (0.0,) * len(distribution)
        powers = [math.log(max(p, _TINY)) / self.temperature + b for p, b in zip(distribution, bias, strict=True)]
        most = max(powers)
        weights = [math.exp(power - most) for power in powers]
        return [weight / math.fsum(weights) for weight in weights]

    def _on_curve(self, probability: float) -> float:
        k = bisect_right(self.x, probability)
        if k in (0, len(self.x)):
            return self.y[0] if k == 0 else self.y[-1]
        low, high = self.x[k - 1], self.x[k]
        return self.y[k - 1] + (self.y[k] - self.y[k - 1]) * (probability - low) / (high - low)


SPREAD = 0.5
"""Deviation of the logarithm of a temperature before anything is known."""


def fit_temperature(rows: Sequence[Sequence[float]], right: Sequence[int], spread: float = math.inf) -> Scaling:
    """Fit the temperature by maximum likelihood, or its most probable value where its logarithm has this deviation around 0 beforehand, so
    that few rows move it little. rows: distributions; right: index of the true entry. A single event is a row of two: it holds, it
    does not."""
    from scipy.optimize import minimize_scalar

    if len(rows) < LEAST_EVENTS:
        return Scaling()
    width = max(map(len, rows))
    logs = np.full((len(rows), width), -np.inf)
    for k, row in enumerate(rows):
        logs[k, : len(row)] = np.log(np.clip(row, _TINY, 1 - _TINY))

    def nats(log_temperature: float) -> float:
        powers = logs / math.exp(log_temperature)
        likelihood = np.sum(np.logaddexp.reduce(powers, axis=1) - powers[np.arange(len(rows)), right])
        return float(likelihood + log_temperature**2 / (2.0 * spread**2))

    minimum = minimize_scalar(nats, bounds=(-3.0, 3.0), method="bounded")
    return Scaling("temperature", math.exp(float(minimum.x)))


def fit_weights(rows: Sequence[Sequence[float]], right: Sequence[int]) -> tuple[float, ...]:
    """Fit the weights of names that maximize macro F1: the geometric mean of the best weights on bootstrap resamples of the rows,
    which overfits less. Empty with too few rows. Source of the mean: Breiman 1996, "Bagging Predictors".

    Args:
        rows: distributions over the same names.
        right: index of the true name of each row."""
    if len(rows) < LEAST_EVENTS:
        return ()
    logs = np.log(np.clip(np.asarray(rows, dtype=np.float64), _TINY, 1.0))
    true = np.asarray(right)
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(true), len(true)) for _ in range(_RESAMPLES))
    return tuple(float(w) for w in np.exp(np.mean([_best_shift(logs[k], true[k]) for k in drawn], axis=0)))


def weights_by_source(
    rows: Sequence[Sequence[float]], right: Sequence[int], sources: Sequence[str | None], of_all: Sequence[float]
) -> dict[str, tuple[float, ...]]:
    """Weights of names for each source of the rows: those fitted on the source, shrunk towards the weights of all rows.

    The geometric mean of both, in which the weights of all count as many answers as SHRINKAGE. Sources without a name and those with few
    rows are left out: the weights of all hold for them. Empty where all rows are of one source. Source of the idea: Efron and Morris 1973,
    "Stein's Estimation Rule and Its Competitors"."""
    if len(set(sources)) < 2 or not of_all:
        return {}
    out = {}
    for source in sorted({source for source in sources if source is not None}):
        chosen = [k for k, other in enumerate(sources) if other == source]
        if weights := fit_weights([rows[k] for k in chosen], [right[k] for k in chosen]):
            share = len(chosen) / (len(chosen) + SHRINKAGE)
            out[source] = tuple(w**share * v ** (1 - share) for w, v in zip(weights, of_all, strict=True))
    return out


def _best_shift(logs: Array, true: NDArray[np.int64]) -> Array:
    return search_shifts(logs.shape[1], lambda shift: _macro_f1((logs + shift).argmax(axis=1), true), _GAIN)


def search_shifts(names: int, value: Callable[[Array], float], least_gain: float) -> Array:
    """What to add to the logarithms of each name, [names], so that the value is large: coordinate ascent on a grid.

    Args:
        value: of such a shift.
        least_gain: gain of the value below which a step is not taken."""
    shift = np.zeros(names)
    best = value(shift)
    while True:
        before = best
        # The first name's weight is the measure of the others.
        for name in range(1, names):
            for step in _SHIFTS:
                other = shift.copy()
                other[name] = step
                if (reached := value(other)) > best + least_gain:
                    best, shift = reached, other
        if best <= before:
            return shift


_RESAMPLES = 16
_SHIFTS = np.linspace(-3.0, 3.0, 31)
_GAIN = 1e-9


def _macro_f1(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    names = 1 + max(int(predicted.max()), int(true.max()))
    both = np.bincount(true * names + predicted, minlength=names * names).reshape(names, names)
    occur = both.sum(axis=0) + both.sum(axis=1)
    return float(np.mean(2.0 * np.diagonal(both)[occur > 0] / occur[occur > 0]))


def fit_isotonic(probabilities: Sequence[float], holds: Sequence[bool]) -> Scaling:
    """Fit isotonic regression, interpolated linearly between the means of its steps."""
    from sklearn.isotonic import IsotonicRegression

    if len(probabilities) < LEAST_EVENTS:
        return Scaling()
    values = np.asarray(probabilities, dtype=np.float64)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(values, np.asarray(holds, dtype=np.float64))
    levels, place = np.unique(fitted, return_inverse=True)
    middles = [float(values[place == k].mean()) for k in range(len(levels))]
    return Scaling("isotonic", 1.0, tuple(middles), tuple(float(level) for level in levels))


def log_loss(scaling: Scaling, probabilities: Sequence[float], holds: Sequence[bool]) -> float:
    """Mean log loss of events in nats; NaN without events. Probabilities are clipped, so the loss is finite."""
    predicted: Array = np.clip([scaling.of(p) for p in probabilities], 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(holds, np.log(predicted), np.log1p(-predicted)))) if len(predicted) else float("nan")


LEAST = 5
"""Minimum number of labeled dialogues."""
BIAS_PRIOR = 10.0
"""Precision of the prior of each bias, as strong as twenty answers to a question of two equally likely names. Chosen in simulation
and on training parts."""
SCALE_PRIOR = 10.0
"""Precision of the prior of the logarithm of the temperature's factor."""
_FOLDS = 20
"""Maximum number of folds; up to so many dialogues, each is left out by itself."""
_LEAST_P = 1e-6


@dataclass(frozen=True, slots=True)
class Adaptation:
    """scaling: the adapted one, or the old one where the gain is not above its standard error. dialogues: how many were fitted on. gain:
    mean fall of the log loss of a left-out dialogue's answers, summed over the dialogue, in nats; error: its standard error."""

    scaling: Scaling
    dialogues: int
    gain: float
    error: float

    @property
    def adapted(self) -> bool:
        """Whether the scaling changed."""
        return self.gain > self.error


def adapt(
    scaling: Scaling,
    rows: Sequence[Sequence[float]],
    right: Sequence[int],
    dialogues: Sequence[int],
    others: Sequence[Sequence[float]] = (),
) -> Adaptation:
    """Adapt the scaling of a task of which exactly one name holds.

    Args:
        scaling: of the model.
        rows: distributions as the model gives them without calibration, over the same names.
        right: index of the true name of each row.
        dialogues: number of the dialogue of each row; dialogues are independent.
        others: distributions of the new log without a true name; weights of names are searched on these too."""
    place, true = np.asarray(dialogues), np.asarray(right)
    count = len(np.unique(place))
    if count < LEAST:
        return Adaptation(scaling, count, 0.0, 0.0)
    every = np.log(np.clip([scaling.of_all(row) for row in (*rows, *others)], _LEAST_P, 1.0))
    logs = every[: len(rows)]
    gain, error = _gain(logs, true, place, biased=True)
    if gain <= error:
        return Adaptation(scaling, count, gain, error)
    bias, scale = _fit(logs, true, biased=True)
    temperature = scaling.temperature if scaling.kind == "temperature" else 1.0
    old = np.asarray(scaling.bias) if scaling.bias else np.zeros(logs.shape[1])
    adapted = replace(
        scaling,
        kind="temperature",
        temperature=temperature / scale,
        bias=tuple(float(b) for b in scale * old + bias),
        weights=_expected_weights(_moved(every, bias, scale)) if scaling.weights else (),
    )
    return Adaptation(adapted, count, gain, error)


def adapt_events(
    scaling: Scaling, probabilities: Sequence[float], holds: Sequence[bool], dialogues: Sequence[int]
) -> Adaptation:
    """Adapt the temperature of a task of which several names may hold, such as intents, slots or goals. Probabilities only become less
    sure: most labels are right, and a few dialogues without a wrong one do not show that wrong ones are rarer than before.

    Args:
        scaling: of the model; of a curve, the heights get the temperature.
        probabilities: of each label as the model gives it without calibration.
        holds: whether each label is right.
        dialogues: number of the dialogue of each label; dialogues are independent."""
    place, true = np.asarray(dialogues), np.where(holds, 0, 1)
    count = len(np.unique(place))
    if count < LEAST:
        return Adaptation(scaling, count, 0.0, 0.0)
    p = np.array([scaling.of(one) for one in probabilities])
    logs = np.log(np.clip(np.stack([p, 1.0 - p], axis=1), _LEAST_P, 1.0))
    gain, error = _gain(logs, true, place, biased=False)
    if gain <= error:
        return Adaptation(scaling, count, gain, error)
    _, scale = _fit(logs, true, biased=False)
    return Adaptation(_tempered(scaling, scale), count, gain, error)


def _tempered(scaling: Scaling, scale: float) -> Scaling:
    """The scaling of events whose log-odds are multiplied by `scale`."""
    if scaling.kind == "isotonic":
        after = Scaling("temperature", 1 / scale)
        return replace(scaling, y=tuple(after.of(y) for y in scaling.y))
    temperature = scaling.temperature if scaling.kind == "temperature" else 1.0
    return replace(scaling, kind="temperature", temperature=temperature / scale)


def _gain(logs: Array, true: NDArray[np.int64], place: NDArray[np.int64], biased: bool) -> tuple[float, float]:
    """Mean fall of the log loss of a dialogue that is left out, and its standard error."""
    groups = np.unique(place)
    gains: list[float] = []
    for fold in range(min(len(groups), _FOLDS)):
        left_out = groups[fold::_FOLDS]
        fitted = ~np.isin(place, left_out)
        bias, scale = _fit(logs[fitted], true[fitted], biased)
        for rows_of in (place == group for group in left_out):
            moved = _moved(logs[rows_of], bias, scale)
            gains.append(_nats(logs[rows_of], true[rows_of]) - _nats(moved, true[rows_of]))
    return float(np.mean(gains)), float(np.std(gains, ddof=1)) / math.sqrt(len(gains))


def _fit(logs: Array, true: NDArray[np.int64], biased: bool) -> tuple[Array, float]:
    """The bias, which sums to 0, and the factor of the logarithms. biased: else the bias is 0, and the
    factor at most 1."""
    from scipy.optimize import minimize

    names = logs.shape[1]
    each = np.eye(names)[true]

    def loss(at: Array) -> tuple[float, Array]:
        bias, log_scale = at[:names], at[names]
        scaled = math.exp(log_scale) * logs
        moved = _normalized(scaled + bias)
        wrong = np.exp(moved) - each
        nats = (
            -float(moved[each > 0].sum()) + BIAS_PRIOR / 2 * float(bias @ bias) + SCALE_PRIOR / 2 * float(log_scale**2)
        )
        return nats, np.append(wrong.sum(axis=0) + BIAS_PRIOR * bias, (wrong * scaled).sum() + SCALE_PRIOR * log_scale)

    bounds = [(-10, 10)] * names + [(-3, 3)] if biased else [(0, 0)] * names + [(-3, 0)]
    at = minimize(loss, np.zeros(names + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    return at[:names] - at[:names].mean(), math.exp(at[names])


def _normalized(logs: Array) -> Array:
    out: Array = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
    return out


def _moved(logs: Array, bias: Array, scale: float) -> Array:
    return _normalized(scale * logs + bias)


def _nats(logs: Array, true: NDArray[np.int64]) -> float:
    return -float(logs[np.arange(len(true)), true].sum())


def _expected_weights(logs: Array) -> tuple[float, ...]:
    """Weights that maximize the expected macro F1 of answers whose probabilities are right; searched one name at a time on a grid."""
    probabilities = np.exp(logs)
    names = logs.shape[1]
    expected = probabilities.sum(axis=0)

    def value(shift: Array) -> float:
        predicted = np.eye(names)[(logs + shift).argmax(axis=1)]
        return float(np.mean(2 * (predicted * probabilities).sum(axis=0) / (predicted.sum(axis=0) + expected)))

    return tuple(float(w) for w in np.exp(search_shifts(names, value, _LEAST_P)))
