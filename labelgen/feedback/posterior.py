"""From the signals about one turn or goal to the probability that it went well.

Both methods of this file take nothing from the data: how far a kind of signal is believed is a prior, written down here."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labelgen.data.evidence import Signal
from labelgen.data.quality import QualityName
from labelgen.feedback.items import Item

METHODS = {
    "waterfall": "labelgen.feedback.posterior:waterfall",
    "majority": "labelgen.feedback.posterior:majority",
}
"""name -> Method."""

FITTED_METHODS = {"em": "labelgen.feedback.em.fitted:learn"}
"""name -> a function that learns a Method from the items of a log."""

PRIOR_PRECISION: Mapping[str, float] = {
    "answer": 0.95,
    "rating": 0.9,
    "disconnect": 0.8,
    "correction": 0.8,
    "questionnaire": 0.75,
    "stop": 0.75,
    "abandonment": 0.75,
    "repetition": 0.75,
    "rephrase": 0.7,
    "gratitude": 0.7,
    "barge_in": 0.65,
}
"""kind -> how often a full-strength vote of that kind is taken to be right. Beliefs, not measurements: explicit kinds
err by slips and misunderstood questions, implicit ones also by politeness and habit."""
_UNKNOWN_KIND = 0.6


@dataclass(frozen=True, slots=True)
class Posterior:
    """good: probability that it went well. weight: how far it lies from even, |2 good - 1|. origin: the evidence in words.
    prior: what `good` was before the evidence, where the method knows how often things go well."""

    good: float
    weight: float
    origin: str
    prior: float | None = None


Method = Callable[[Item], Posterior | None]
"""From an item, its signals in any order, to its posterior; None where there is no evidence."""


def prior_log_odds(kind: str, vote: QualityName, strength: float = 1.0) -> float:
    """What a vote says by its prior precision alone: log-odds of good, in nats. A strength of s moves the precision r of
    a kind to 1/2 + (r - 1/2) s."""
    right = 0.5 + (PRIOR_PRECISION.get(kind, _UNKNOWN_KIND) - 0.5) * min(max(strength, 0.0), 1.0)
    return log_odds(right) * _SIGN[vote]


_SIGN = {"good": 1.0, "fair": 0.0, "bad": -1.0}
_SURE = 1e-6
"""No probability is held to be nearer to 0 or 1."""


def log_odds(p: float) -> float:
    """In nats."""
    held = min(max(p, _SURE), 1.0 - _SURE)
    return math.log(held / (1.0 - held))


def from_log_odds(nats: float) -> float:
    """The probability."""
    return 1.0 / (1.0 + math.exp(-nats))


def waterfall(item: Item) -> Posterior | None:
    """What users said when asked; only where they said nothing, what their behavior shows.

    Within the level that is used, kinds are independent witnesses: their log-odds add up, from even. A kind that says
    the same several times counts once, by its strongest signal."""
    told = judging(item.signals)
    used = [s for s in told if s.explicit] or told
    if not used:
        return None
    strongest: dict[tuple[str, str], Signal] = {}
    for signal in used:
        known = strongest.get((signal.kind, signal.vote))
        if known is None or signal.strength > known.strength:
            strongest[signal.kind, signal.vote] = signal
    # Sorted, so that the sum does not depend on the order of the signals to the last bit.
    nats = sum(prior_log_odds(s.kind, s.vote, s.strength) for _, s in sorted(strongest.items()))
    level = "explicit" if used[0].explicit else "implicit"
    return posterior(from_log_odds(nats), f"waterfall, {level}: {words(used)}")


def majority(item: Item) -> Posterior | None:
    """Each signal one vote, whatever its kind and strength; Laplace's rule of succession."""
    told = judging(item.signals)
    if not told:
        return None
    good = sum(s.vote == "good" for s in told)
    return posterior((good + 1.0) / (len(told) + 2.0), f"majority: {words(told)}")


def judging(signals: Sequence[Signal]) -> list[Signal]:
    """Those that say good or bad. A rating in the middle is evidence of neither; `em` takes it for a rating it did not see."""
    return [s for s in signals if s.vote != "fair"]


def posterior(good: float, origin: str, prior: float | None = None) -> Posterior:
    """With the weight that belongs to it."""
    return Posterior(good, abs(2.0 * good - 1.0), origin, prior)


def words(signals: Sequence[Signal]) -> str:
    """Such as `bad by repetition at turn 2, good by gratitude at turn 3`."""
    said = []
    for s in signals:
        seen = f" at turn {', '.join(map(str, s.evidence))}" if s.evidence else ""
        said.append(f"{s.vote} by {s.kind}{seen}")
    return ", ".join(sorted(set(said)))
