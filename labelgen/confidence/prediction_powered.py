"""Prediction-powered inference (PPI++): a rate from many labels of a model and few labels of people.

The rate is a ratio of sums over dialogues (goals that succeeded, over goals), because the goals of a dialogue depend on each
other. Its variance is over users, because their dialogues do too: what a user's dialogues add to the error is summed before it
is squared, on both sides of a difference. The model's part is weighted so that the interval is shortest: a model that knows nothing gets a weight of about 0, and
the interval is about that of people alone (a little wider, by what fitting the weight to few dialogues costs). It is valid
whatever the model says, if the dialogues that people labeled are a random sample of the log. A model that is nearly always right
has almost no error in people's few dialogues, and an interval that trusts that is too narrow. So a few pseudo-dialogues are
added that err by one, up and down.

Sources: Angelopoulos et al. 2023, "Prediction-powered inference", and "PPI++: Efficient Prediction-Powered Inference" (weight);
Agresti and Coull 1998, "Approximate is Better than Exact" (pseudo-dialogues); Cochran 1977, "Sampling Techniques", chapter 6
(delta method for ratios); Liang and Zeger 1986 (variance over clusters); Welch 1947 (degrees of freedom of a difference)."""

from bisect import bisect_left
from collections.abc import Sequence
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

IMAGINED_AT_ONE_SIDE = 2
"""The same of each side of a difference. Source: Agresti and Caffo 2000, "Simple and effective confidence intervals for proportions and
differences of proportions"."""

_ROUNDS = 5
_MOST_LABELS = 10_000_000


@dataclass(frozen=True, slots=True)
class Sums:
    """(counted, all) of each dialogue. people: [n, 2], what people say; model: [n, 2], what the model says of the same; rest:
    [m, 2], what it says of dialogues that no person labeled. users: [n + m], a number of each dialogue's user, those of `people` first."""

    people: Array
    model: Array
    rest: Array
    users: NDArray[np.int64]


def people_alone(sums: Sums, level: float = 0.95, planned: int | None = None) -> Interval:
    """The rate by people's labels; None where they are too few, or count nothing. planned: number of dialogues that the interval is
    expected for, if more were labeled like these."""
    return interval_of(rate_of(sums, 0.0, planned=planned), level)


def prediction_powered(sums: Sums, level: float = 0.95, planned: int | None = None) -> Interval:
    """The rate by people's and the model's labels together; by people's alone where there is no other dialogue. planned: as in
    people_alone."""
    return interval_of(rate_of(sums, weight_of(sums), planned=planned), level)


def weight_of(sums: Sums) -> float:
    """The weight of the model's part with the least variance; 0 where people's labels or the others are too few."""
    weight = 0.0
    if len(sums.people) >= LEAST and len(sums.rest) >= 2:
        for _ in range(_ROUNDS):
            weight = _weight(sums, rate_of(sums, weight))
    return weight


def _weight(sums: Sums, estimate: "RateEstimate | None") -> float:
    """What the model says enters with the same weight for both sides of the ratio."""
    if estimate is None:
        return 0.0
    rate = min(1.0, max(0.0, estimate.value))
    ours, theirs, rest = (side[:, 0] - rate * side[:, 1] for side in (sums.people, sums.model, sums.rest))
    spread = float(np.concatenate([theirs, rest]).var(ddof=1))
    if spread <= 0:
        return 0.0
    return float(np.cov(ours, theirs)[0, 1]) / ((1 + len(ours) / len(rest)) * spread)


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """A rate, or a difference of rates. users: [U], ascending; errors: [U], what the dialogues of each add to the error. imagined: variance by
    the pseudo-dialogues. free: degrees of freedom."""

    value: float
    users: NDArray[np.int64]
    errors: Array
    imagined: float
    free: float

    @property
    def variance(self) -> float:
        """The square of the standard error."""
        return float((self.errors**2).sum()) + self.imagined


def rate_of(sums: Sums, weight: float, imagined: int = IMAGINED, planned: int | None = None) -> RateEstimate | None:
    """The rate with this weight of the model's part; None with too few users, or where nothing is counted. planned: as in people_alone."""
    people = len(sums.people)
    users = len(np.unique(sums.users[:people]))
    if users < LEAST:
        return None
    numbers, owner = np.unique(sums.users, return_inverse=True)
    counted, every = sums.people.mean(axis=0)
    if weight:
        ahead = sums.rest.mean(axis=0) - sums.model.mean(axis=0)
        counted, every = counted + weight * ahead[0], every + weight * ahead[1]
    if every <= 0:
        return None
    rate = float(counted / every)
    line = np.array([1.0, -rate])
    left = (sums.people - weight * sums.model) @ line
    # A mean is fitted, and, with a model, its weight.
    fitted = 2 if weight else 1
    more = (planned or people) / people
    free = users * more - fitted
    if free <= 0:
        return None
    of_people = np.bincount(owner[:people], (left - left.mean()) / people, minlength=len(numbers))
    errors = of_people * np.sqrt(users / ((users - fitted) * more))
    if weight:
        others = sums.rest @ line
        of_rest = np.bincount(owner[people:], (others - others.mean()) / len(others), minlength=len(numbers))
        errors = errors + weight * of_rest
    pseudo = imagined * users / (free * people * people * more)
    return RateEstimate(rate, numbers, errors / every, pseudo / float(every) ** 2, free)


def difference(before: RateEstimate | None, after: RateEstimate | None) -> RateEstimate | None:
    """after - before. The errors of a user on both sides are summed before they are squared."""
    if before is None or after is None:
        return None
    users, owner = np.unique(np.concatenate([before.users, after.users]), return_inverse=True)
    errors = np.bincount(owner, np.concatenate([-before.errors, after.errors]))
    parts = before.variance, after.variance
    free = sum(parts) ** 2 / (parts[0] ** 2 / before.free + parts[1] ** 2 / after.free) if all(parts) else before.free
    return RateEstimate(
        after.value - before.value, users, errors.astype(np.float64), before.imagined + after.imagined, free
    )


def interval_of(rate: RateEstimate | None, level: float, least: float = 0.0) -> Interval:
    """The interval by Student's t, within least..1: least is -1 for a difference."""
    if rate is None:
        return Interval()
    half = float(student.ppf((1 + level) / 2, rate.free)) * float(np.sqrt(rate.variance))
    return Interval(*(min(1.0, max(least, x)) for x in (rate.value, rate.value - half, rate.value + half)))


def p_value_of(rate: RateEstimate | None) -> float | None:
    """Of no difference, two-sided."""
    if rate is None:
        return None
    return 2 * float(student.sf(abs(rate.value) / max(float(np.sqrt(rate.variance)), 1e-12), rate.free))


def labels_needed(before: Sums, after: Sums, weights: Sequence[float], width: float, level: float) -> int | None:
    """Dialogues to label on each side for an interval of the difference of at most that width, by the spread of those that are labeled;
    None where no number is enough, since the model's rates of the other dialogues have errors of their own."""

    def enough(planned: int) -> bool:
        sides = []
        for side, weight in zip((before, after), weights, strict=True):
            # The best weight falls as more is labeled.
            fewer = len(side.users) / (len(side.rest) + planned)
            sides.append(rate_of(side, weight * fewer, IMAGINED_AT_ONE_SIDE, planned))
        wanted = interval_of(difference(*sides), level, -1.0)
        return wanted.low is not None and wanted.high is not None and wanted.high - wanted.low <= width

    least = bisect_left(range(_MOST_LABELS), True, lo=LEAST, key=enough)
    return least if least < _MOST_LABELS else None
