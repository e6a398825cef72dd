"""Adaptation of a calibrated model to a new log from a few labeled dialogues: a bias of each name and a temperature, shrunk to no change.
Where several names may hold, a temperature that makes probabilities less sure.

The bias moves the line between names, as other annotators or users draw it. It is a maximum a posteriori estimate, whose prior is no
change. It is kept only if it predicts dialogues that it was not fitted on: leaving one dialogue out, the log loss must fall by more than
its standard error. So a log without a shift mostly leaves the model as it is. Weights of names are then those that maximize the
expected macro F1 under the adapted probabilities, not those of the few labels. That needs no labels, so all dialogues of the new log take
part: ten alone gave weights that lost more in single draws.

Sources: Alexandari et al. 2020, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation" (bias and
temperature); Breiman et al. 1984, "Classification and Regression Trees" (the rule of one standard error); Lipton et al. 2014 (expected
F1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling, search_shifts

LEAST = 5
"""Minimum number of labeled dialogues."""
BIAS_PRIOR = 10.0
"""Precision of the prior of each bias, as strong as twenty answers to a question of two equally likely names. Chosen in simulation
and on training parts (research log of version 0.3)."""
SCALE_PRIOR = 10.0
"""Precision of the prior of the logarithm of the temperature's factor."""
_FOLDS = 20
"""Maximum number of folds; up to so many dialogues, each is left out by itself."""
_TINY = 1e-6


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
    every = np.log(np.clip([scaling.of_all(row) for row in (*rows, *others)], _TINY, 1.0))
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
    logs = np.log(np.clip(np.stack([p, 1.0 - p], axis=1), _TINY, 1.0))
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

    return tuple(float(w) for w in np.exp(search_shifts(names, value, _TINY)))
