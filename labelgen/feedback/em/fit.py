"""EM over answer patterns: how far each family of signals can be believed, learned from the log itself.

Two latent classes c, good and bad. The families of an item answer independently given its class, each at rates of its own:

    P(answers, c) = share_c * product over families f of rate_c(answer of f | the kinds of f that could be observed)

Silence is one of the answers, so feedback that is missing not at random (who is annoyed answers more often) is modeled.
A family of which nothing could be observed is no factor. Kinds of one family may copy each other: what they say together
is one answer, so a copy adds nothing. What people said of an item stands in place of its expected class.

The likelihood is the same with the two classes in each other's place; PRIOR_PRECISION tells them apart. An answer a has the
prior log-odds l_a of its strongest votes, silence has 0.

1. One factor s on all l_a, and the share of good items, are fitted to the log: how far the written precisions are to be
   believed here (written.py). Answers are as frequent as in the log, and of those that say a, sigmoid(s l_a + k + logit
   share) are good, with the constant k that makes the share of good among them the share itself.
2. EM frees all rates, from there, and held near it by PRIOR_ITEMS pseudo-items for each family that are as step 1 says.
   The prior so tells what answers mean, and nothing of how often things go well.
3. Two moods in each class, calm and talkative (latent.py), are kept where they make the log more likely by more than their
   number pays for (BIC, Schwarz 1978).
4. Families that agree more than these states explain are joined and all is fitted again, as long as that earns its
   numbers too (copies.py).
5. The free rates are kept where they earn their number against fewer ones (BIC); a log that is too small, or whose signals
   hardly agree, keeps those: where every family votes both ways, one factor a family or one for each set of kinds that spoke, with
   or without the same frequency of an answer and its mirror image (tied.py); else those of step 1.

A domain is fitted with the whole's families, and its rates in each state as a Dirichlet prior, worth DOMAIN_ITEMS items of
each class.

The cost is that of the distinct patterns, not of the items. Source: Dawid and Skene 1979, "Maximum Likelihood Estimation
of Observer Error-Rates Using the EM Algorithm"; silence as an answer, families and prior are added."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from labelgen.feedback.em.copies import closest_pair, joined
from labelgen.feedback.em.latent import States, log_likelihood, maximize, talkative
from labelgen.feedback.em.patterns import Answer, Pattern, families_of, family_answers, recorded_kinds
from labelgen.feedback.em.table import Array, Table, both, sigmoid, table_of
from labelgen.feedback.em.tied import both_ways, several_factors, tied
from labelgen.feedback.em.written import balanced, beliefs, prior_of, scale, scaled

PRIOR_ITEMS = 100.0
"""How many items the prior precisions, scaled to the log, are worth."""

DOMAIN_ITEMS = 300.0
"""How many items of a domain the rates of the whole log are worth."""

TOLERANCE = 1e-7
"""EM ends where no pattern's posterior moves further than this in one step."""
SEARCHING = 1e-4
SEARCH_STEPS = 200
"""The same, and the most steps, while families and moods are looked for: where there are no moods EM hardly moves, for long."""

NEARLY_ALL, STRONG, NOTHING = 0.99, 1.5, 0.1
"""An answer's share of those to its question; log-odds of good, in nats, that are strong as written, and that are nothing as learned."""

MOOD_NUMBERS = 3
"""What moods add: the tilt, and the share of talkative items in each class."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What was learned of one unit, in one domain or in all. families: of each kind that spoke somewhere. recorded: the
    kinds whose silence can always be observed. shares: of the hidden states, good ones first; two, or four with moods
    (latent.py). rates: of each answer that was seen, how often it is given in each state where it could be. written: answers that
    nearly everybody gives and that seem to tell nothing: such a log cannot say how far they are to be believed."""

    families: Mapping[str, str]
    recorded: frozenset[str]
    shares: tuple[float, ...]
    rates: Mapping[Answer, tuple[float, ...]]
    written: frozenset[Answer] = frozenset()

    @property
    def good(self) -> float:
        """The share of good items."""
        return sum(self.shares[: len(self.shares) // 2])

    def log_odds(self, pattern: Pattern) -> float:
        """Of good against bad, in nats, from the answers and not from what people said. An answer that was never seen, or
        of which nothing could be learned, is believed as PRIOR_PRECISION has it."""
        states = np.log(np.array(self.shares))
        added = 0.0
        for answer in self.answers(pattern):
            rates = None if answer in self.written else self.rates.get(answer)
            if rates:
                states = states + np.log(np.array(rates))
            else:
                added += prior_of(answer[1])
        good, bad = np.split(states, 2)
        return float(np.logaddexp.reduce(good) - np.logaddexp.reduce(bad)) + added

    def of_class(self, answer: Answer) -> tuple[float, float]:
        """How often an answer is given of good and of bad items, whatever their mood. Raises KeyError for one that was
        never seen."""
        halves = zip(np.split(np.array(self.shares), 2), np.split(np.array(self.rates[answer]), 2), strict=True)
        good, bad = (float(shares @ rates / shares.sum()) for shares, rates in halves)
        return good, bad

    def answers(self, pattern: Pattern) -> list[Answer]:
        """What the families said; empty where nothing could be observed."""
        return family_answers(pattern, self.families, self.recorded)

    def posterior(self, pattern: Pattern) -> float:
        """Probability of good."""
        return float(sigmoid(self.log_odds(pattern)))


def fit(counts: Mapping[Pattern, int], whole: Rates | None = None) -> Rates:
    """The rates at the maximum of the posterior that EM reaches from the prior. whole: what a domain is shrunk towards;
    every answer must have been seen there. The order of the counts is of no influence. Raises ValueError where there is
    nothing to learn from: no item of which some kind that speaks could be observed."""
    recorded = whole.recorded if whole else recorded_kinds(counts)
    families: Mapping[str, str]
    if whole is None:
        families, table, states = _fit_whole(counts, families_of(counts), recorded)
    else:
        families = whole.families
        table = table_of(counts, families, recorded)
        states = _fit_domain(table, whole)
    learned = {a: tuple(map(float, rates)) for a, rates in zip(table.answers, states.rates, strict=True)}
    shares = tuple(map(float, states.shares))
    if whole is not None:
        return Rates(families, recorded, shares, {**whole.rates, **learned}, whole.written)
    found = Rates(families, recorded, shares, learned)
    return replace(found, written=frozenset(_untold(table, found)))


def _untold(table: Table, found: Rates) -> Iterator[Answer]:
    """Answers of users who nearly all say the same, which seem to tell nothing though they are strong as written; none where people
    judged, since they can tell."""
    if (table.known >= 0.0).any():
        return
    for answer, share in zip(table.answers, table.shares, strict=True):
        good, bad = found.of_class(answer)
        if share >= NEARLY_ALL and abs(prior_of(answer[1])) >= STRONG and abs(math.log(good / bad)) < NOTHING:
            yield answer


def _fit_domain(table: Table, whole: Rates) -> States:
    rates, shares = np.array([whole.rates[answer] for answer in table.answers]), np.array(whole.shares)
    of_class = np.repeat([whole.good, 1.0 - whole.good], len(shares) // 2)
    fixed = DOMAIN_ITEMS * rates * shares / of_class

    def update(counts: Array, items: Array, states: States) -> States:
        total = items + DOMAIN_ITEMS * shares
        return States(total / total.sum(), table.normalized(counts + fixed))

    return maximize(table, States(shares, rates), update, TOLERANCE)


def _fit_whole(
    counts: Mapping[Pattern, int], families: Mapping[str, str], recorded: frozenset[str]
) -> tuple[Mapping[str, str], Table, States]:
    """With the families that are joined on the way."""
    fitted = _Whole(table_of(counts, families, recorded))
    while (pair := closest_pair(fitted.table, fitted.states, families)) is not None:
        together = joined(families, pair)
        other = _Whole(table_of(counts, together, recorded))
        if other.worth <= fitted.worth:
            break
        families, fitted = together, other
    return families, fitted.table, fitted.chosen(families)


class _Whole:
    """A fit of a whole log with given families. states: the free rates, with moods where those earn their numbers;
    worth: the log-likelihood, less what the numbers cost (BIC)."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._written = beliefs(table)
        self._share, self._factor = scale(table, self._written)
        self._per_number = math.log(table.items.sum()) / 2.0
        self._classes = 2.0 * both(self._share)
        plain = self._plain(SEARCHING)
        moods = talkative(table, self._prior, self._classes, self._start(), SEARCHING, SEARCH_STEPS)
        gain = log_likelihood(table, moods) - log_likelihood(table, plain)
        self._moods = gain > MOOD_NUMBERS * self._per_number
        self.states = moods if self._moods else plain
        self.worth = self._worth(self.states, 2 * table.freedom)

    def chosen(self, families: Mapping[str, str]) -> States:
        """The free states, to the last step of EM; or those of step 1, or tied ones, where they are worth as much."""
        most, best = max(self._tied(families), key=lambda pair: pair[0])
        if most >= self.worth:
            return best
        if self._moods:
            return talkative(self.table, self._prior, self._classes, self._start(), TOLERANCE)
        return self._plain(TOLERANCE)

    def _tied(self, families: Mapping[str, str]) -> Iterator[tuple[float, States]]:
        """What they are worth, and states with fewer numbers than the free ones."""
        if both_ways(self.table, families):
            for ties in several_factors(self.table, families):
                states = tied(self.table, self._written, ties, self.states)
                yield self._worth(states, ties.numbers(self.table, self._written)), states
        else:
            held = scaled(self.table, self._factor * self._written, self._share)
            yield log_likelihood(self.table, held) - self.table.freedom * self._per_number, held

    def _worth(self, states: States, numbers: int) -> float:
        return log_likelihood(self.table, states) - (numbers + MOOD_NUMBERS * self._moods) * self._per_number

    def _prior(self, share: float) -> Array:
        """Pseudo-counts of answers, [A, 2]."""
        told = balanced(self.table, self._factor * self._written, share)
        return PRIOR_ITEMS * self.table.shares[:, None] * both(told)

    def _plain(self, tolerance: float) -> States:
        """EM with two states."""

        def update(counts: Array, items: Array, states: States) -> States:
            # Two items hold the share where it began, so that it cannot reach 0 or 1.
            total = items + self._classes
            return States(total / total.sum(), self.table.normalized(counts + self._prior(states.good)))

        return maximize(self.table, self._start(), update, tolerance)

    def _start(self) -> States:
        return States(both(self._share), self.table.normalized(self._prior(self._share)))
