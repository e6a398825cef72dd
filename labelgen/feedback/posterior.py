"""Aggregation methods: from the signals about items to the probability that each went well, by rules or learned from a log."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from labelgen.data.dialogue import Signal
from labelgen.feedback.cues import Vote
from labelgen.feedback.items import FeedbackItem
from labelgen.feedback.signal import reliability

METHODS = {
    "em": "labelgen.verdicts.estimate:learn",
    "waterfall": "labelgen.feedback.posterior:rules",
}
"""name -> a function that gives the Method for the items of a log. The first learns from them, with content; the second is the rules,
with the precisions that detectors declare."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """good: probability that it went well. weight: of a target: distance from even, |2 good - 1|, by the rules, and 1 by a method that
    knows how often things go well. origin: the evidence in words."""

    good: float
    weight: float
    origin: str


Method = Callable[[Sequence[FeedbackItem]], list[Posterior | None]]
"""From items, those of a dialogue together and their signals in any order, to their posteriors; None without evidence. Many at once
take less time."""


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


def rules(items: Iterable[FeedbackItem] = ()) -> Method:
    """The method that learns nothing from the items of a log: `waterfall` on each."""
    return lambda chosen: [waterfall(item) for item in chosen]


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


def judging(signals: Sequence[Signal]) -> list[Signal]:
    """Signals that are evidence: with a vote that their kind declares, so that a correction never counts for good. A rating in
    the middle is evidence for neither."""
    return [s for s in signals if s.vote in reliability(s.kind).precision]


def posterior(good: float, origin: str) -> Posterior:
    """A Posterior with its distance from even as weight."""
    return Posterior(good, abs(2.0 * good - 1.0), origin)


def words(signals: Sequence[Signal]) -> str:
    """Signals in words, such as `bad by repetition at turn 2, good by gratitude at turn 3`."""
    parts = set()
    for s in signals:
        place = f" at turn {', '.join(map(str, s.evidence))}" if s.evidence else ""
        parts.add(f"{s.vote} by {s.kind}{place}")
    return ", ".join(sorted(parts))
