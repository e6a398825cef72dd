"""Prediction-powered inference (PPI++): a rate from many labels of a model and few labels of people.

The rate is a ratio of sums over dialogues (goals that succeeded, over goals), because the goals of a dialogue depend on each
other. Its variance is over users, because their dialogues do too: what a user's dialogues add to the error is summed before it
is squared. The model's part is weighted so that the interval is shortest: a model that knows nothing gets a weight of about 0, and
the interval is about that of people alone (a little wider, by what fitting the weight to few dialogues costs). It is valid
whatever the model says, if the dialogues that people labeled are a random sample of the log. A model that is nearly always right
has almost no error in people's few dialogues, and an interval that trusts that is too narrow. So a few pseudo-dialogues are
added that err by one, up and down.

Sources: Angelopoulos et al. 2023, "Prediction-powered inference", and "PPI++: Efficient Prediction-Powered Inference" (weight);
Agresti and Coull 1998, "Approximate is Better than Exact" (pseudo-dialogues); Cochran 1977, "Sampling Techniques", chapter 6
(delta method for ratios); Liang and Zeger 1986 (variance over clusters)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from labelgen.confidence.resampling import Array
from labelgen.metrics.results import Interval

LEAST = 5
"""Minimum number of dialogues labeled by people, and of their users; with fewer there is no interval."""

IMAGINED = 4
"""Dialogues, half of which err by one answer upwards, half downwards."""

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Sums:
    """(counted, all) of each dialogue. people: [n, 2], what people say; model: [n, 2], what the model says of the same; rest:
    [m, 2], what it says of dialogues that no person labeled. users: [n + m], the number of each dialogue's user, those of `people` first."""

    people: Array
    model: Array
    rest: Array
    users: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Powered:
    """weight: of the model's part."""

    interval: Interval
    weight: float


def people_alone(sums: Sums, level: float = 0.95, imagined: int = IMAGINED, planned: int | None = None) -> Interval:
    """The rate by people's labels; None where they are too few, or count nothing. planned: number of dialogues that the interval is
    expected for, if more were labeled like these."""
    return _estimate(sums, 0.0, level, imagined, planned)


def prediction_powered(
    sums: Sums, level: float = 0.95, imagined: int = IMAGINED, planned: int | None = None
) -> Powered:
    """The rate by people's and the model's labels together; by people's alone where there is no other dialogue. planned: as in
    people_alone."""
    weight = 0.0
    if len(sums.people) >= LEAST and len(sums.rest) >= 2:
        for _ in range(_ROUNDS):
            weight = _weight(sums, _estimate(sums, weight, level, imagined).value)
    return Powered(_estimate(sums, weight, level, imagined, planned), weight)


def _weight(sums: Sums, rate: float | None) -> float:
    """The weight of least variance. What the model says enters with the same weight for both sides of the ratio."""
    if rate is None:
        return 0.0
    ours, theirs, rest = (side[:, 0] - rate * side[:, 1] for side in (sums.people, sums.model, sums.rest))
    spread = float(np.concatenate([theirs, rest]).var(ddof=1))
    if spread <= 0:
        return 0.0
    return float(np.cov(ours, theirs)[0, 1]) / ((1 + len(ours) / len(rest)) * spread)


def _estimate(sums: Sums, weight: float, level: float, imagined: int, planned: int | None = None) -> Interval:
    people = len(sums.people)
    users = len(np.unique(sums.users[:people]))
    if users < LEAST:
        return Interval()
    counted, every = sums.people.mean(axis=0)
    if weight:
        ahead = sums.rest.mean(axis=0) - sums.model.mean(axis=0)
        counted, every = counted + weight * ahead[0], every + weight * ahead[1]
    if every <= 0:
        return Interval()
    rate = float(counted / every)
    line = np.array([1.0, -rate])
    left = (sums.people - weight * sums.model) @ line
    # A mean is fitted, and, with a model, its weight.
    fitted = 2 if weight else 1
    more = (planned or people) / people
    free = users * more - fitted
    most = int(sums.users.max()) + 1
    of_people = np.bincount(sums.users[:people], (left - left.mean()) / people, minlength=most)
    errors = of_people * np.sqrt(users / ((users - fitted) * more))
    if weight:
        others = sums.rest @ line
        of_rest = np.bincount(sums.users[people:], (others - others.mean()) / len(others), minlength=most)
        errors = errors + weight * of_rest
    variance = float((errors**2).sum()) + imagined * users / (free * people * people * more)
    half = float(student.ppf((1 + level) / 2, free)) * float(np.sqrt(variance)) / float(every)
    return Interval(*(min(1.0, max(0.0, x)) for x in (rate, rate - half, rate + half)))
