"""Step 1 of EM (fit.py): how far the written precisions are to be believed in this log, by one factor on all of them."""

import math

import numpy as np
from scipy.optimize import minimize

from labelgen.feedback.em.latent import States, log_likelihood
from labelgen.feedback.em.patterns import Votes
from labelgen.feedback.em.table import Array, Table, both, logit, sigmoid
from labelgen.feedback.posterior import prior_log_odds

SHARE_SD = 0.25
FACTOR_SD = 1.0
"""How far the logit of the share of good items may lie from even, and the logarithm of the factor on all prior log-odds
from 0, before the log is looked at: one standard deviation."""

_FOUND = 1e-7
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


def scale(table: Table, log_odds: Array) -> tuple[float, float]:
    """The share of good items, and the factor on these log-odds [A], that make the log most likely.

    Where the log hardly tells, normal priors decide: that the share is about even, and the factor about 1."""

    def loss(at: Array) -> float:
        prior = ((at[0] / SHARE_SD) ** 2 + (at[1] / FACTOR_SD) ** 2) / 2.0
        nats = log_likelihood(table, scaled(table, math.exp(at[1]) * log_odds, float(sigmoid(at[0]))))
        return float(prior - nats)

    # Bounded where data that tell nothing, or everything, would let them run away.
    options = {"xatol": _FOUND, "fatol": _FOUND}
    found = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-5.0, 5.0), (-3.0, 1.0)], options=options)
    return float(sigmoid(found.x[0])), math.exp(found.x[1])


def scaled(table: Table, log_odds: Array, share: float) -> States:
    """The rates [A, 2] by which answers are as frequent as in the log, and tell what `balanced` makes of their
    log-odds."""
    rates = table.shares[:, None] * both(balanced(table, log_odds, share)) / both(share)
    return States(both(share), rates)
