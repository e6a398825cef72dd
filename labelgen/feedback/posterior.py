"""Aggregation methods: from the signals about one item to the probability that it went well.

The methods of this file learn nothing from data: the precision of each kind of signal is the one that its detector declares.
The method that learns is em (em/method.py)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labelgen.data.dialogue import Signal
from labelgen.feedback.cues import Vote
from labelgen.feedback.items import FeedbackItem
from labelgen.feedback.signal import reliability

METHODS = {
    "waterfall": "labelgen.feedback.posterior:waterfall",
    "majority": "labelgen.feedback.posterior:majority",
}
"""name -> Method."""

FITTED_METHODS = {"em": "labelgen.feedback.em.method:learn"}
"""name -> a function that learns a Method from the items of a log."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """good: probability that it went well. weight: distance from even, |2 good - 1|. origin: the evidence in words. prior:
    `good` before the evidence, where the method knows how often things go well."""

    good: float
    weight: float
    origin: str
    prior: float | None = None


Method = Callable[[FeedbackItem], Posterior | None]
"""From an item, its signals in any order, to its posterior; None without evidence."""


def prior_log_odds(kind: str, vote: Vote, strength: float = 1.0) -> float:
    """Log-odds of good by the declared precision of a vote, in nats. A strength of s moves the precision r of a kind to
    1/2 + (r - 1/2) s. A vote that the kind does not declare is no evidence: 0."""
    right = 0.5 + (reliability(kind).precision.get(vote, 0.5) - 0.5) * min(max(strength, 0.0), 1.0)
    return log_odds(right) if vote == "good" else -log_odds(right)


_SURE = 1e-6
"""Probabilities nearer to 0 or 1 are clipped."""


def log_odds(p: float) -> float:
    """In nats."""
    clipped = min(max(p, _SURE), 1.0 - _SURE)
    return math.log(clipped / (1.0 - clipped))


def from_log_odds(nats: float) -> float:
    """The probability."""
    return 1.0 / (1.0 + math.exp(-nats))


def waterfall(item: FeedbackItem) -> Posterior | None:
    """Explicit signals; only where there are none, implicit ones.

    Within the level that is used, kinds are independent: their log-odds add up, from even. If a kind says the same several
    times, its strongest signal counts once."""
    signals = judging(item.signals)
    used = [s for s in signals if s.explicit] or signals
    if not used:
        return None
    strongest: dict[tuple[str, str], Signal] = {}
    for signal in used:
        known = strongest.get((signal.kind, signal.vote))
        if known is None or signal.strength > known.strength:
            strongest[signal.kind, signal.vote] = signal
    # Sorted, so that the sum does not depend on the order of the signals to the last bit.
    nats = sum(prior_log_odds(s.kind, s.vote, s.strength) for _, s in sorted(strongest.items()) if s.vote != "fair")
    level = "explicit" if used[0].explicit else "implicit"
    return posterior(from_log_odds(nats), f"waterfall, {level}: {words(used)}")


def majority(item: FeedbackItem) -> Posterior | None:
    """Each signal one vote, whatever its kind and strength; Laplace's rule of succession."""
    signals = judging(item.signals)
    if not signals:
        return None
    good = sum(s.vote == "good" for s in signals)
    return posterior((good + 1.0) / (len(signals) + 2.0), f"majority: {words(signals)}")


def judging(signals: Sequence[Signal]) -> list[Signal]:
    """Signals that are evidence: with a vote that their kind declares, so that a correction never counts for good. A rating in
    the middle is evidence for neither; `em` treats it as not observed."""
    return [s for s in signals if s.vote in reliability(s.kind).precision]


def posterior(good: float, origin: str, prior: float | None = None) -> Posterior:
    """A Posterior with its weight."""
    return Posterior(good, abs(2.0 * good - 1.0), origin, prior)


def words(signals: Sequence[Signal]) -> str:
    """Signals in words, such as `bad by repetition at turn 2, good by gratitude at turn 3`."""
    parts = set()
    for s in signals:
        place = f" at turn {', '.join(map(str, s.evidence))}" if s.evidence else ""
        parts.add(f"{s.vote} by {s.kind}{place}")
    return ", ".join(sorted(parts))
