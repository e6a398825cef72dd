"""What one more answer is worth: turns that look alike form a pool, and an answer about one of them tells of all.

A pool's turns go well at one unknown rate. It is believed to be Beta distributed: its mean is what signals and the model
say of these turns, its spread that of a belief worth BELIEF_ITEMS turns and, on top, how far the two disagree. Loss is
squared error of the posterior, summed over the turns of the pool. With mean m, strength s (items' worth) and x answers,

    loss of the others  = n (m (1 - m) s / (s + 1) + m (1 - m) / (s + 1) * s / (s + x))

of which only the second part can be learned; so each question about a pool gains less than the one before it, and large,
doubtful, contested pools come first. An answer that is wrong with probability w tells of the rate as much as (1 - 2 w)^2
right ones. Source: Gelman et al. 2013, "Bayesian Data Analysis", chapter 2 (posterior variance of a beta-binomial)."""

from dataclasses import dataclass

from labelgen.feedback.posterior import PRIOR_PRECISION

BELIEF_ITEMS = 100.0
"""How many answered turns a posterior is worth as a belief about the rate of a pool."""

ANSWERED = 0.5
"""Share of the users who answer when asked: a belief. It scales all gains alike, but for how fast they fall."""

WRONG = 1.0 - PRIOR_PRECISION["answer"]
"""Share of the answers that are wrong."""

_TOLD = ANSWERED * (1.0 - 2.0 * WRONG) ** 2
"""Right answers that a question is worth, expected."""
_LEAST_STRENGTH = 0.5
_SURE = 0.005


@dataclass(frozen=True, slots=True)
class Pool:
    """turns: how many have no answer yet, at least 1. signals, model: their mean probability of good; None where there is
    none. good, bad: answers about turns of the pool."""

    turns: int
    signals: float | None
    model: float | None
    good: int = 0
    bad: int = 0

    def rate(self) -> tuple[float, float]:
        """Mean of the rate of good turns, and how many right answers that belief is worth."""
        told = [p for p in (self.signals, self.model) if p is not None]
        mean = min(max(sum(told) / len(told), _SURE), 1.0 - _SURE) if told else 0.5
        # Without any belief all rates are as likely: two items' worth.
        spread = mean * (1.0 - mean) / ((BELIEF_ITEMS if told else 2.0) + 1.0)
        if len(told) == 2:
            spread += ((told[0] - told[1]) / 2.0) ** 2
        strength = max(mean * (1.0 - mean) / spread - 1.0, _LEAST_STRENGTH)
        worth = (1.0 - 2.0 * WRONG) ** 2
        total = strength + worth * (self.good + self.bad)
        return (strength * mean + worth * self.good) / total, total

    def gain(self, asked: int) -> float:
        """Expected fall of the loss by one more question, where so many of the pool's turns are asked about already and
        their answers not yet known. In turns: a turn that is known for sure instead of at evens gains 0.25. Raises
        ValueError where no turn is left."""
        if not 0 <= asked < self.turns:
            raise ValueError(f"{asked} of {self.turns} turns asked")
        mean, strength = self.rate()
        even = mean * (1.0 - mean)
        said_good = WRONG + (1.0 - 2.0 * WRONG) * mean
        own = ANSWERED * (even * (1.0 - 2.0 * WRONG)) ** 2 / (said_good * (1.0 - said_good))
        before = strength + asked * _TOLD
        others = self.turns - 1 - asked
        return own + others * even / (strength + 1.0) * strength * (1.0 / before - 1.0 / (before + _TOLD))
