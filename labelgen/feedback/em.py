"""EM over answer patterns: how far each family of signals can be believed, learnt from the log itself.

Two latent classes c, good and bad. The families of an item answer independently given its class, each at rates of its own:

    P(answers, c) = share_c * product over families f of rate_c(answer of f | the kinds of f that could be observed)

Silence is one of the answers, so feedback that is missing not at random (who is annoyed answers more often) is modelled.
A family of which nothing could be observed is no factor. Kinds of one family may copy each other: what they say together
is one answer, so a copy adds nothing. What people said of an item stands in place of its expected class.

The likelihood is the same with the two classes in each other's place; PRIOR_PRECISION tells them apart. An answer a has the
prior log-odds l_a of its strongest votes, silence has 0.

1. One factor s on all l_a, and the share of good items, are fitted to the log: how far the written precisions are to be
   believed here. Answers are as frequent as in the log, and of those that say a, sigmoid(s l_a + k + logit share) are
   good, with the constant k that makes the share of good among them the share itself.
2. EM frees all rates, from there, and held near it by PRIOR_ITEMS pseudo-items for each family that are as step 1 says.
   The prior so tells what answers mean, and nothing of how often things go well.
3. The free rates are kept where they make the log more likely by more than their number pays for (BIC, Schwarz 1978); a
   log that is too small, or whose signals hardly agree, keeps those of step 1.

A domain is fitted with the whole's rates as its Dirichlet prior, worth DOMAIN_ITEMS items.

The cost is that of the distinct patterns, not of the items. Source: Dawid and Skene 1979, "Maximum Likelihood Estimation
of Observer Error-Rates Using the EM Algorithm"; silence as an answer, families and prior are added."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from labelgen.feedback.patterns import Answer, Pattern, Votes, families_of, family_answers, recorded_kinds
from labelgen.feedback.posterior import prior_log_odds

PRIOR_ITEMS = 100.0
"""How many items the prior precisions, scaled to the log, are worth."""

DOMAIN_ITEMS = 300.0
"""How many items of a domain the rates of the whole log are worth."""

SHARE_SD = 0.25
FACTOR_SD = 1.0
"""How far the logit of the share of good items may lie from even, and the logarithm of the factor on all prior log-odds
from 0, before the log is looked at: one standard deviation."""

TOLERANCE = 1e-7
"""EM ends where no pattern's posterior moves further than this in one step."""
MOST_STEPS = 5000
_BALANCED = 1e-10
_LEAST_SLOPE = 0.3

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Rates:
    """What was learnt of one unit, in one domain or in all. families: of each kind that spoke somewhere.
    recorded: the kinds whose silence can always be observed. good: share of good items. rates: of each answer that was seen, how often it is
    given of good and of bad items where it could be."""

    families: Mapping[str, str]
    recorded: frozenset[str]
    good: float
    rates: Mapping[Answer, tuple[float, float]]

    def log_odds(self, pattern: Pattern) -> float:
        """Of good against bad, in nats, from the answers and not from what people said. An answer that was never seen is
        believed as PRIOR_PRECISION has it."""
        total = _logit(self.good)
        for answer in self.answers(pattern):
            rates = self.rates.get(answer)
            total += math.log(rates[0] / rates[1]) if rates else _prior_of(answer[1])
        return total

    def answers(self, pattern: Pattern) -> list[Answer]:
        """What the families said; empty where nothing could be observed."""
        return family_answers(pattern, self.families, self.recorded)

    def posterior(self, pattern: Pattern) -> float:
        """Probability of good."""
        return float(_sigmoid(self.log_odds(pattern)))


@dataclass(frozen=True, slots=True)
class _Table:
    """Patterns as arrays. question [A]: answers of one family, where the same of it could be observed, have one number;
    seen [P, A]: 1 where a pattern has that answer; items [P]; known [P]: share of people who say good, -1 where nobody
    judged; shares [A]: of each answer among those to its question."""

    answers: tuple[Answer, ...]
    question: Places
    seen: Array
    items: Array
    known: Array
    shares: Array

    def normalised(self, counts: Array) -> Array:
        """Counts of answers [A, 2] as rates: those of one question sum to 1 in each class."""
        totals = np.stack([np.bincount(self.question, counts[:, c], len(counts)) for c in (0, 1)], axis=1)
        return counts / totals[self.question]


def fit(counts: Mapping[Pattern, int], whole: Rates | None = None) -> Rates:
    """The rates at the maximum of the posterior that EM reaches from the prior. whole: what a domain is shrunk towards;
    every answer must have been seen there. The order of the counts is of no influence. Raises ValueError where there is
    nothing to learn from: no item of which some kind that speaks could be observed."""
    families = whole.families if whole else families_of(counts)
    recorded = whole.recorded if whole else recorded_kinds(counts)
    table = _table(counts, families, recorded)
    if whole is None:
        beliefs = np.array([_prior_of(votes) for _, votes in table.answers])
        share, factor = _scale(table, beliefs)
        counted = PRIOR_ITEMS * table.shares

        def prior(share: float) -> Array:
            return counted[:, None] * _both(_balanced(table, factor * beliefs, share))

        # Two items hold the share where it began, so that it cannot reach 0 or 1.
        scaled = share, _scaled_rates(table, factor * beliefs, share)
        free = _maximise(table, prior, share, 2.0 * _both(share))
        gain = _log_likelihood(table, *free) - _log_likelihood(table, *scaled)
        more = len(table.answers) - len(np.unique(table.question))
        share, rates = free if gain > more / 2.0 * math.log(table.items.sum()) else scaled
    else:
        fixed = DOMAIN_ITEMS * np.array([whole.rates[answer] for answer in table.answers])
        share, rates = _maximise(table, lambda _: fixed, whole.good, DOMAIN_ITEMS * _both(whole.good))
    learnt = {answer: (float(good), float(bad)) for answer, (good, bad) in zip(table.answers, rates, strict=True)}
    return Rates(families, recorded, share, {**(whole.rates if whole else {}), **learnt})


def _table(counts: Mapping[Pattern, int], families: Mapping[str, str], recorded: frozenset[str]) -> _Table:
    merged: Counter[tuple[tuple[Answer, ...], float]] = Counter()
    for pattern, count in counts.items():
        row = tuple(family_answers(pattern, families, recorded))
        if row:
            merged[row, -1.0 if pattern.known is None else pattern.known] += count
    if not merged:
        raise ValueError("nothing was observed")
    # Sorted, so that sums do not depend on the order of the patterns to the last bit.
    rows = sorted(merged)
    answers = sorted({answer for row, _ in rows for answer in row})
    place = {answer: a for a, answer in enumerate(answers)}
    first = {asked: a for a, (asked, _) in reversed(list(enumerate(answers)))}
    seen = np.zeros((len(rows), len(answers)))
    for p, (row, _) in enumerate(rows):
        seen[p, [place[answer] for answer in row]] = 1.0
    items = np.array([merged[row] for row in rows], dtype=np.float64)
    question = np.array([first[asked] for asked, _ in answers], dtype=np.intp)
    times = items @ seen
    shares = times / np.bincount(question, times, len(times))[question]
    known = np.array([judged for _, judged in rows])
    return _Table(tuple(answers), question, seen, items, known, shares)


def _balanced(table: _Table, log_odds: Array, share: float) -> Array:
    """Of each answer the probability of good, [A]: answers tell as much against each other as `log_odds` [A] says, and the
    mean over the answers to a question, as frequent as they are in the log, is the share of good items. (Where only bad
    votes can be cast, silence is a little good.)"""
    target = _logit(share)
    added = np.zeros(len(log_odds))
    for _ in range(MOST_STEPS):
        good = _sigmoid(log_odds + added + target)
        mean, spread = (
            np.bincount(table.question, table.shares * x, len(x))[table.question] for x in (good, good * (1.0 - good))
        )
        away = target - np.log(mean / (1.0 - mean))
        if np.abs(away).max() <= _BALANCED:
            break
        # Newton's method on the logit of the mean, whose slope lies in 0..1; no step where it is flat is a leap.
        added = added + away / np.maximum(spread / (mean * (1.0 - mean)), _LEAST_SLOPE)
    return np.asarray(good)


def _scale(table: _Table, beliefs: Array) -> tuple[float, float]:
    """The share of good items, and the factor on the log-odds `beliefs` [A], that make the log most likely.

    Where the log hardly tells, normal priors decide: that the share is about even, and the factor about 1."""

    def loss(at: Array) -> float:
        share = float(_sigmoid(at[0]))
        log_odds = math.exp(at[1]) * beliefs
        prior = ((at[0] / SHARE_SD) ** 2 + (at[1] / FACTOR_SD) ** 2) / 2.0
        nats = _log_likelihood(table, share, _scaled_rates(table, log_odds, share))
        return float(prior - nats)

    # Bounded where data that tell nothing, or everything, would let them run away.
    options = {"xatol": TOLERANCE, "fatol": TOLERANCE}
    found = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-5.0, 5.0), (-3.0, 1.0)], options=options)
    return float(_sigmoid(found.x[0])), math.exp(found.x[1])


def _scaled_rates(table: _Table, log_odds: Array, share: float) -> Array:
    """The rates [A, 2] by which answers are as frequent as in the log, and tell what `_balanced` makes of their
    log-odds."""
    return table.shares[:, None] * _both(_balanced(table, log_odds, share)) / _both(share)


def _log_likelihood(table: _Table, share: float, rates: Array) -> float:
    joint = table.seen @ np.log(rates) + np.log(_both(share))
    judged = (_both(table.known) * joint).sum(axis=1)
    nats = np.where(table.known < 0.0, np.logaddexp(joint[:, 0], joint[:, 1]), judged)
    return float(table.items @ nats)


def _maximise(table: _Table, prior: Callable[[float], Array], share: float, classes: Array) -> tuple[float, Array]:
    """EM. prior: from the share of good items to pseudo-counts of answers [A, 2]; share: where it begins; classes [2]:
    pseudo-counts of the classes. Gives the share and the rates [A, 2]."""
    rates = table.normalised(prior(share))
    good = _expected(table, rates, share)
    for _ in range(MOST_STEPS):
        weights = table.items[:, None] * _both(good)
        rates = table.normalised(table.seen.T @ weights + prior(share))
        total = weights.sum(axis=0) + classes
        share = float(total[0] / total.sum())
        before, good = good, _expected(table, rates, share)
        if np.abs(good - before).max() <= TOLERANCE:
            break
    return share, rates


def _expected(table: _Table, rates: Array, share: float) -> Array:
    """Of each pattern the probability of good, or what people said, [P]."""
    log_odds = table.seen @ np.log(rates[:, 0] / rates[:, 1]) + _logit(share)
    good: Array = np.where(table.known < 0.0, _sigmoid(log_odds), table.known)
    return good


def _prior_of(votes: Votes) -> float:
    """The strongest good and the strongest bad vote of a family, against each other; log-odds of good in nats."""
    odds = [prior_log_odds(kind, vote) for kind, vote in votes]
    return max((x for x in odds if x > 0.0), default=0.0) + min((x for x in odds if x < 0.0), default=0.0)


def _both(good: Any) -> Array:
    """good and bad, along a new last axis."""
    return np.stack([good, 1.0 - good], axis=-1)


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
