"""What the written precisions say of the answers of families."""

import numpy as np

from labelgen.feedback.patterns import Votes
from labelgen.feedback.posterior import prior_log_odds
from labelgen.feedback.table import Array, Table, logit, sigmoid

_BALANCED = 1e-10
_MOST_STEPS = 5000
_LEAST_SLOPE = 0.3


def prior_of(votes: Votes) -> float:
    """The strongest good and the strongest bad vote of a family, against each other; log-odds of good in nats."""
    odds = [prior_log_odds(kind, vote) for kind, vote in votes]
    return max((x for x in odds if x > 0.0), default=0.0) + min((x for x in odds if x < 0.0), default=0.0)


def beliefs(table: Table) -> Array:
    """The written log-odds of every answer, [A]."""
    return np.array([prior_of(votes) for _, votes in table.answers])


def balanced(table: Table, log_odds: Array, share: float) -> Array:
    """Of each answer the probability of good, [A]: answers tell as much against each other as `log_odds` [A] says, and the
    mean over the answers to a question, as frequent as they are in the log, is the share of good items. (Where only bad
    votes can be cast, silence is a little good.)"""
    target = logit(share)
    added = np.zeros(len(log_odds))
    for _ in range(_MOST_STEPS):
        good = sigmoid(log_odds + added + target)
        mean, spread = (
            np.bincount(table.question, table.shares * x, len(x))[table.question] for x in (good, good * (1.0 - good))
        )
        away = target - np.log(mean / (1.0 - mean))
        if np.abs(away).max() <= _BALANCED:
            break
        # Newton's method on the logit of the mean, whose slope lies in 0..1; no step where it is flat is a leap.
        added = added + away / np.maximum(spread / (mean * (1.0 - mean)), _LEAST_SLOPE)
    return np.asarray(good)
