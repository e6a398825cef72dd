"""EM over answer patterns (Dawid and Skene 1979): how reliable each family of signals is, learned from the log itself.

Two latent classes c, good and bad. The families of an item answer independently given its class:

    P(answers, c) = share_c * product over families f of rate_c(answer of f | the kinds of f that could be observed)

Silence is one of the answers, so feedback that is missing not at random (annoyed users answer more often) is modeled. A
family of which nothing could be observed is no factor. Kinds of one family may copy each other: their joint votes are one
answer, so a copy adds nothing. People's labels of an item replace its expected class.

The likelihood does not change when the classes change places; PRIOR_PRECISION tells them apart. An answer a has the prior
log-odds l_a of its strongest votes, silence has 0.

1. Scaled prior: one factor s on all l_a, and the share of good items, are fitted to the log. Answers are as frequent as in
   the log; of those that say a, sigmoid(s l_a + k + logit share) are good, where the constant k makes the mean over all
   answers the share itself.
2. Free rates: EM starts there, held near it by PRIOR_ITEMS pseudo-items for each family. So the prior says what answers
   mean, and nothing about how often things go well.
3. Moods: each class has calm and talkative items, if that makes the log more likely by more than the extra parameters
   cost (BIC, Schwarz 1978).
4. Families that agree more than these states explain are joined and all is fitted again, as long as BIC improves.
5. The free rates are kept where BIC prefers them to fewer parameters. Else: tied rates where every family votes both ways
   (one factor for each family or set of kinds that spoke), or the scaled prior of step 1.

A domain has the families of the whole log, and its rates as a Dirichlet prior worth DOMAIN_ITEMS items of each class.

The cost grows with the distinct patterns, not with the items. Source: Dawid and Skene 1979, "Maximum Likelihood Estimation
of Observer Error-Rates Using the EM Algorithm"; silence as an answer, families, moods and prior are added."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.optimize import minimize

from labelgen.feedback.em.patterns import (
    COPY_ITEMS,
    Answer,
    Array,
    Indices,
    Pattern,
    Table,
    Votes,
    both,
    families_of,
    family_answers,
    join_families,
    logit,
    recorded_kinds,
    sigmoid,
    table_of,
)
from labelgen.feedback.posterior import prior_log_odds

PRIOR_ITEMS = 100.0
"""Number of items that the scaled prior is worth."""

DOMAIN_ITEMS = 300.0
"""Number of items of a domain that the rates of the whole log are worth."""

TOLERANCE = 1e-7
"""EM ends where no pattern's posterior moves further than this in one step."""
SEARCH_TOLERANCE = 1e-4
SEARCH_STEPS = 200
MAX_STEPS = 5000
"""The search for families and moods is coarser: without moods EM hardly moves, for long."""

NEARLY_ALL, STRONG, NOTHING = 0.99, 1.5, 0.1
"""An answer's share of those to its question; prior log-odds that are strong, and learned ones that say nothing, in nats."""

MOOD_PARAMETERS = 3
"""The tilt, and the share of talkative items in each class."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The parameters of one unit, in one domain or in all.

    families: of each kind that spoke somewhere. recorded: kinds whose silence can always be observed. shares: of the hidden
    states, good ones first; two, or four with moods. rates: frequency of each answer in each state, where it could be
    given. prior_only: answers that nearly everybody gives and that seem to say nothing; such a log cannot say how reliable
    they are, so they keep their prior."""

    families: Mapping[str, str]
    recorded: frozenset[str]
    shares: tuple[float, ...]
    rates: Mapping[Answer, tuple[float, ...]]
    prior_only: frozenset[Answer] = frozenset()

    @property
    def good(self) -> float:
        """The share of good items."""
        return sum(self.shares[: len(self.shares) // 2])

    def log_odds(self, pattern: Pattern) -> float:
        """Log-odds of good, in nats, from the answers and not from people's labels. An answer without learned rates counts
        by PRIOR_PRECISION."""
        states = np.log(np.array(self.shares))
        added = 0.0
        for answer in self.answers(pattern):
            rates = None if answer in self.prior_only else self.rates.get(answer)
            if rates:
                states = states + np.log(np.array(rates))
            else:
                added += prior_of(answer[1])
        good, bad = np.split(states, 2)
        return float(np.logaddexp.reduce(good) - np.logaddexp.reduce(bad)) + added

    def of_class(self, answer: Answer) -> tuple[float, float]:
        """Frequency of an answer among good and among bad items, over all moods. Raises KeyError for an unknown answer."""
        halves = zip(np.split(np.array(self.shares), 2), np.split(np.array(self.rates[answer]), 2), strict=True)
        good, bad = (float(shares @ rates / shares.sum()) for shares, rates in halves)
        return good, bad

    def answers(self, pattern: Pattern) -> list[Answer]:
        """The answers of the families; empty where nothing could be observed."""
        return family_answers(pattern, self.families, self.recorded)

    def posterior(self, pattern: Pattern) -> float:
        """Probability of good."""
        return float(sigmoid(self.log_odds(pattern)))


def fit(counts: Mapping[Pattern, int], whole: Rates | None = None) -> Rates:
    """Maximum a posteriori rates, as EM reaches them from the prior. The order of the counts does not matter.

    whole: rates of the whole log, for a domain; every answer must have been seen there. Raises ValueError where no item
    has a kind that speaks and could be observed."""
    if whole is not None:
        table = table_of(counts, whole.families, whole.recorded)
        states = _fit_domain(table, whole)
        rates = {**whole.rates, **states.by_answer(table)}
        return Rates(whole.families, whole.recorded, tuple(map(float, states.shares)), rates, whole.prior_only)
    recorded = recorded_kinds(counts)
    families = families_of(counts)
    fitted = _WholeLog(table_of(counts, families, recorded))
    while (pair := closest_pair(fitted.table, fitted.states, families)) is not None:
        joined = join_families(families, *pair)
        other = _WholeLog(table_of(counts, joined, recorded))
        if other.score <= fitted.score:
            break
        families, fitted = joined, other
    states, table = fitted.best(families), fitted.table
    result = Rates(families, recorded, tuple(map(float, states.shares)), states.by_answer(table))
    return replace(result, prior_only=frozenset(_not_identified(table, result)))


def _not_identified(table: Table, rates: Rates) -> Iterator[Answer]:
    """Answers that nearly all users give and that seem to say nothing, though their prior is strong; none where people
    judged, whose labels decide."""
    if (table.known >= 0.0).any():
        return
    for answer, share in zip(table.answers, table.shares, strict=True):
        good, bad = rates.of_class(answer)
        if share >= NEARLY_ALL and abs(prior_of(answer[1])) >= STRONG and abs(math.log(good / bad)) < NOTHING:
            yield answer


# Hidden states: the classes good and bad, each of them calm, or calm and talkative.
#
# A talkative item has every answer e^(tilt k) times as often as a calm one of its class, before all are normalized, where k
# kinds spoke in that answer. So users who are annoyed, or like to talk, use all kinds more often, and the votes (or the
# silence) of several kinds are not independent evidence of it. Estimator of the tilted rates: Vardi 1985, "Empirical
# Distributions in Selection Bias Models", one step of it in each step of EM.

_TILTS = (-3.0, 3.0)
_LEAST = 1e-12

FIRST_TILT = np.log(3.0)
FIRST_TALKATIVE = np.array([0.2, 0.4])
"""Start of the search: talkative users answer three times as often, and are more frequent where items are bad."""


@dataclass(frozen=True, slots=True)
class HiddenStates:
    """shares [S]: of the hidden states, the first half good, the second bad. rates [A, S]: frequency of an answer in a
    state, where it could be given. tilt: of talkative against calm, where S is 4."""

    shares: Array
    rates: Array
    tilt: float = 0.0

    @property
    def good(self) -> float:
        """The share of good items."""
        return float(self.shares[: len(self.shares) // 2].sum())

    def by_answer(self, table: Table) -> dict[Answer, tuple[float, ...]]:
        """The rates of each answer."""
        return {a: tuple(map(float, rates)) for a, rates in zip(table.answers, self.rates, strict=True)}


Update = Callable[[Array, Array, HiddenStates], HiddenStates]
"""From expected counts of answers [A, S] and of items [S], and the states before, to the states after."""


def joint(table: Table, states: HiddenStates) -> Array:
    """ln P(pattern, state), [P, S]."""
    logs: Array = table.seen @ np.log(states.rates) + np.log(states.shares)
    return logs


def log_likelihood(table: Table, states: HiddenStates) -> float:
    """Of all items; people's labels give the class of an item that has some."""
    classes = np.stack([_log_sum(part) for part in np.split(joint(table, states), 2, axis=1)], axis=1)
    labeled = (both(table.known) * classes).sum(axis=1)
    return float(table.items @ np.where(table.known < 0.0, _log_sum(classes), labeled))


def expected(table: Table, states: HiddenStates) -> Array:
    """E step: probability of each state for each pattern, [P, S]; people's labels give that of the class."""
    logs = joint(table, states)
    free = _softmax(logs)
    if (table.known < 0.0).all():
        return free
    good, bad = (_softmax(part) for part in np.split(logs, 2, axis=1))
    known = table.known[:, None]
    labeled: Array = np.where(known < 0.0, free, np.concatenate([known * good, (1.0 - known) * bad], axis=1))
    return labeled


def maximize(
    table: Table, start: HiddenStates, update: Update, tolerance: float, steps: int = MAX_STEPS
) -> HiddenStates:
    """EM; ends where no pattern's posterior moves further than `tolerance` in one step, or after `steps` steps."""
    states, before = start, expected(table, start)
    for _ in range(steps):
        weights = table.items[:, None] * before
        states = update(table.seen.T @ weights, weights.sum(axis=0), states)
        after = expected(table, states)
        if np.abs(after - before).max() <= tolerance:
            break
        before = after
    return states


def fit_moods(
    table: Table,
    prior: Callable[[float], Array],
    classes: Array,
    start: HiddenStates,
    tolerance: float,
    steps: int = MAX_STEPS,
) -> HiddenStates:
    """EM with four states, from two. prior: share of good items -> pseudo-counts of answers [A, 2], whose mood is hidden.
    classes [2]: pseudo-counts of the classes."""
    spoke = table.spoke

    def update(counts: Array, items: Array, states: HiddenStates) -> HiddenStates:
        of_class = np.split(states.rates * states.shares, 2, axis=1)
        moods_of = np.concatenate([part / part.sum(axis=1, keepdims=True) for part in of_class], axis=1)
        counts = counts + np.repeat(prior(states.good), 2, axis=1) * moods_of
        totals = table.by_question(counts)
        rates = np.empty((len(spoke), 2))
        slope = curve = 0.0
        for c in (0, 1):
            calm, loud = states.rates[:, 2 * c], states.rates[:, 2 * c + 1]
            answers, total = counts[:, 2 * c : 2 * c + 2].sum(axis=1), totals[:, 2 * c : 2 * c + 2]
            rates[:, c] = answers / (total[:, 0] + total[:, 1] * loud / calm)
            mean = table.by_question((loud * spoke)[:, None])[:, 0]
            slope += float(((counts[:, 2 * c + 1] - total[:, 1] * loud) * spoke).sum())
            curve += float((total[:, 1] * loud * (spoke - mean) ** 2).sum())
        tilt = float(np.clip(states.tilt + slope / max(curve, _LEAST), *_TILTS))
        by_class = items.reshape(2, 2).sum(axis=1)
        # Half an item in each mood, so that none is empty.
        moods = (items[1::2] + 0.5) / (by_class + 1.0)
        by_class = by_class + classes
        return with_moods(table, rates, tilt, float(by_class[0] / by_class.sum()), moods)

    begin = with_moods(table, start.rates, FIRST_TILT, start.good, FIRST_TALKATIVE)
    return maximize(table, begin, update, tolerance, steps)


def with_moods(table: Table, calm: Array, tilt: float, good: float, moods: Array) -> HiddenStates:
    """Four states. calm [A, 2]: rates in proportion. moods [2]: the share of talkative items in each class."""
    calm = table.normalized(np.maximum(calm, _LEAST))
    loud = table.normalized(calm * np.exp(tilt * table.spoke)[:, None])
    shares = both(good)[:, None] * np.stack([1.0 - moods, moods], axis=1)
    return HiddenStates(shares.ravel(), np.stack([calm, loud], axis=2).reshape(len(calm), 4), tilt)


def _log_sum(logs: Array) -> Array:
    most = logs.max(axis=1)
    summed: Array = most + np.log(np.exp(logs - most[:, None]).sum(axis=1))
    return summed


def _softmax(logs: Array) -> Array:
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: Array = odds / odds.sum(axis=1, keepdims=True)
    return shares


# Step 1: the scaled prior.

SHARE_SD = 0.25
FACTOR_SD = 1.0
"""Normal priors: on the logit of the share of good items around even, and on the logarithm of the factor around 0."""

_BALANCED = 1e-10
_LEAST_SLOPE = 0.3


def prior_of(votes: Votes) -> float:
    """The strongest good and the strongest bad vote of a family, added; log-odds of good in nats."""
    odds = [prior_log_odds(kind, vote) for kind, vote in votes]
    return max((x for x in odds if x > 0.0), default=0.0) + min((x for x in odds if x < 0.0), default=0.0)


def prior_odds(table: Table) -> Array:
    """The prior log-odds of every answer, [A]."""
    return np.array([prior_of(votes) for _, votes in table.answers])


def balanced(table: Table, log_odds: Array, share: float) -> Array:
    """Probability of good for each answer, [A]: log-odds as given, up to a constant for each question that makes the mean
    over its answers the share of good items. (Where only bad votes are possible, silence is a little good.)"""
    target = logit(share)
    added = np.zeros(len(log_odds))
    for _ in range(MAX_STEPS):
        good = sigmoid(log_odds + added + target)
        mean, spread = (
            np.bincount(table.question, table.shares * x, len(x))[table.question] for x in (good, good * (1.0 - good))
        )
        away = target - np.log(mean / (1.0 - mean))
        if np.abs(away).max() <= _BALANCED:
            break
        # Newton's method on the logit of the mean, whose slope lies in 0..1; a flat slope must not become a leap.
        added = added + away / np.maximum(spread / (mean * (1.0 - mean)), _LEAST_SLOPE)
    return np.asarray(good)


def scale(table: Table, log_odds: Array) -> tuple[float, float]:
    """The share of good items, and the factor on these log-odds [A], at the maximum of the posterior."""

    def loss(at: Array) -> float:
        prior = ((at[0] / SHARE_SD) ** 2 + (at[1] / FACTOR_SD) ** 2) / 2.0
        nats = log_likelihood(table, scaled(table, math.exp(at[1]) * log_odds, float(sigmoid(at[0]))))
        return float(prior - nats)

    # Bounded, since data that say nothing, or everything, would let the parameters run away.
    options = {"xatol": 1e-7, "fatol": 1e-7}
    best = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-5.0, 5.0), (-3.0, 1.0)], options=options)
    return float(sigmoid(best.x[0])), math.exp(best.x[1])


def scaled(table: Table, log_odds: Array, share: float) -> HiddenStates:
    """Answers as frequent as in the log, and as informative as `balanced` makes their log-odds."""
    rates = table.shares[:, None] * both(balanced(table, log_odds, share)) / both(share)
    return HiddenStates(both(share), rates)


# Step 2 and 3: free rates.


class _WholeLog:
    """A fit of a whole log with fixed families. states: the free rates, with moods where BIC prefers them. score: the
    log-likelihood less the cost of the parameters (BIC)."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._odds = prior_odds(table)
        self._share, self._factor = scale(table, self._odds)
        self._cost = math.log(table.items.sum()) / 2.0
        self._classes = 2.0 * both(self._share)
        plain = self._fit_plain(SEARCH_TOLERANCE)
        moods = fit_moods(table, self._prior, self._classes, self._start(), SEARCH_TOLERANCE, SEARCH_STEPS)
        gain = log_likelihood(table, moods) - log_likelihood(table, plain)
        self._moods = gain > MOOD_PARAMETERS * self._cost
        self.states = moods if self._moods else plain
        self.score = self._score(self.states, 2 * table.freedom)

    def best(self, families: Mapping[str, str]) -> HiddenStates:
        """The states with the best score: free rates, fitted to the last step of EM, or fewer parameters."""
        most, best = max(self._with_fewer_parameters(families), key=lambda pair: pair[0])
        if most >= self.score:
            return best
        if self._moods:
            return fit_moods(self.table, self._prior, self._classes, self._start(), TOLERANCE)
        return self._fit_plain(TOLERANCE)

    def _with_fewer_parameters(self, families: Mapping[str, str]) -> Iterator[tuple[float, HiddenStates]]:
        """Scores and states."""
        if vote_both_ways(self.table, families):
            for ties in possible_ties(self.table, families):
                states = fit_tied(self.table, self._odds, ties, self.states)
                yield self._score(states, ties.parameters(self.table, self._odds)), states
        else:
            prior = scaled(self.table, self._factor * self._odds, self._share)
            yield log_likelihood(self.table, prior) - self.table.freedom * self._cost, prior

    def _score(self, states: HiddenStates, parameters: int) -> float:
        return log_likelihood(self.table, states) - (parameters + MOOD_PARAMETERS * self._moods) * self._cost

    def _prior(self, share: float) -> Array:
        """Pseudo-counts of answers, [A, 2]."""
        good = balanced(self.table, self._factor * self._odds, share)
        return PRIOR_ITEMS * self.table.shares[:, None] * both(good)

    def _fit_plain(self, tolerance: float) -> HiddenStates:
        """EM with two states."""

        def update(counts: Array, items: Array, states: HiddenStates) -> HiddenStates:
            # Two items hold the share near its start, so that it cannot reach 0 or 1.
            total = items + self._classes
            return HiddenStates(total / total.sum(), self.table.normalized(counts + self._prior(states.good)))

        return maximize(self.table, self._start(), update, tolerance)

    def _start(self) -> HiddenStates:
        return HiddenStates(both(self._share), self.table.normalized(self._prior(self._share)))


def _fit_domain(table: Table, whole: Rates) -> HiddenStates:
    rates, shares = np.array([whole.rates[answer] for answer in table.answers]), np.array(whole.shares)
    of_class = np.repeat([whole.good, 1.0 - whole.good], len(shares) // 2)
    prior = DOMAIN_ITEMS * rates * shares / of_class

    def update(counts: Array, items: Array, states: HiddenStates) -> HiddenStates:
        total = items + DOMAIN_ITEMS * shares
        return HiddenStates(total / total.sum(), table.normalized(counts + prior))

    return maximize(table, HiddenStates(shares, rates), update, TOLERANCE)


# Step 4: families that nobody declared.
#
# Kinds that copy each other in part agree where neither is right. As families of their own they look like the most reliable
# ones. So the pair of families whose answers depend on each other most, given the fitted states, is joined, and all is
# fitted again. Source of the test: the likelihood ratio of independence (G squared) in two-way tables, with the penalty of
# Schwarz 1978. The problem is that of Bach et al. 2017, "Learning the Structure of Generative Models without Labeled Data".

LEAST_SHARE = 0.1
"""Families are joined only if they agree more often than the states explain by this share of the votes of the rarer one,
and in COPY_ITEMS items: a large log can show the least dependence, and one family of all kinds would say nothing."""


def closest_pair(table: Table, states: HiddenStates, families: Mapping[str, str]) -> tuple[str, str] | None:
    """The two families that are most worth joining; None where none are."""
    observed, independent = _observed_and_expected(table, states)
    members: dict[str, list[int]] = {}
    for a, (kinds, _) in enumerate(table.answers):
        members.setdefault(families[kinds[0]], []).append(a)
    best, pair = 0.0, None
    for one, other in combinations(sorted(members), 2):
        gain = _gain(table, observed, independent, members[one], members[other])
        if gain > best:
            best, pair = gain, (one, other)
    return pair


def _observed_and_expected(table: Table, states: HiddenStates) -> tuple[Array, Array]:
    """Number of items with two answers at once, and its expectation if answers are independent given the state, [A, A]; the
    expectation is over the items where both questions could be observed."""
    observed = (table.seen * table.items[:, None]).T @ table.seen
    observable = table.seen @ (table.question[:, None] == table.question[None, :])
    posterior = expected(table, states)
    independent = np.zeros_like(observed)
    for s in range(posterior.shape[1]):
        pairs = (observable * (table.items * posterior[:, s])[:, None]).T @ observable
        independent += pairs * np.outer(states.rates[:, s], states.rates[:, s])
    return observed, independent


def _gain(table: Table, observed: Array, independent: Array, one: list[int], other: list[int]) -> float:
    """Nats that joint rates of two families gain, less the cost of their parameters; 0 where the families do not agree more
    often than expected."""
    seen, alone = observed[np.ix_(one, other)], independent[np.ix_(one, other)]
    verdicts = [[{vote for _, vote in table.answers[a][1]} for a in family] for family in (one, other)]
    same = np.array([[len(x) == 1 and x == y for y in verdicts[1]] for x in verdicts[0]])
    votes = min(seen[[bool(x) for x in verdicts[0]]].sum(), seen[:, [bool(y) for y in verdicts[1]]].sum())
    if (seen - alone)[same].sum() < max(LEAST_SHARE * votes, COPY_ITEMS):
        return 0.0
    occurs = seen > 0.0
    # Both sides sum to the same number of items, so only the logarithms remain.
    nats = float((seen[occurs] * np.log(seen[occurs] / alone[occurs])).sum())
    sizes = [np.unique(table.question[family], return_counts=True) for family in (one, other)]
    questions = {(int(table.question[one[i]]), int(table.question[other[j]])) for i, j in np.argwhere(occurs)}
    answers = [dict(zip(map(int, q), map(int, n), strict=True)) for q, n in sizes]
    parameters = sum((answers[0][q] - 1) * (answers[1][r] - 1) for q, r in questions)
    return nats - parameters * float(np.log(table.items.sum()))


# Step 5: tied rates, with few parameters.
#
# Within a question the log-odds of an answer are the prior ones times the factor of its group, plus a constant that
# normalizes the rates of each class. The frequency of answers is free, or the same for an answer and its mirror image, in
# which every vote is reversed. Then a kind that votes both ways is as reliable by either vote (the one-coin model, Zhang et
# al. 2014, "Spectral Methods Meet EM"). Free rates have a parameter for each answer in each class, and leave open how often
# things go well where kinds are weak or rare; these few do not.
#
# Prior: normal, with the standard deviations below, on the logit of the share of good items, on the logarithm of the factor
# that all groups share, and on the logarithm of what each group adds. Optimizer: L-BFGS on the likelihood itself (Byrd et
# al. 1995), since EM is slow where kinds are weak.

TIED_SHARE_SD = 1.0
COMMON_SD = 1.0
GROUP_SD = 0.5

_HALVES = np.array([0.5, -0.5])
_FREQUENCY, _COMMON, _GROUP, _ODDS, _TILT = (-30.0, 3.0), (-3.0, 1.0), (-3.0, 3.0), (-7.0, 7.0), (-3.0, 3.0)
"""Bounds of the parameters, since data that say nothing, or everything, would let them run away."""


@dataclass(frozen=True, slots=True)
class Ties:
    """Numbers, [A] each from 0, that are equal for answers which share a parameter. factor: on the prior log-odds.
    frequency: of the answer."""

    factor: Indices
    frequency: Indices

    def parameters(self, table: Table, odds: Array) -> int:
        """The number of free ones; the factor of silence has no effect."""
        return int(self.frequency.max()) + 1 - len(np.unique(table.question)) + len(np.unique(self.factor[odds != 0.0]))


def vote_both_ways(table: Table, families: Mapping[str, str]) -> bool:
    """Whether every family was seen to vote good and to vote bad. Ties assume that a kind is as reliable by one vote as by
    the other; for kinds that only complain they give the wrong share of good items."""
    votes: dict[str, set[str]] = {family: set() for family in families.values()}
    for _, answer in table.answers:
        for kind, vote in answer:
            votes[families[kind]].add(vote)
    return all(len(ways) == 2 for ways in votes.values())


def possible_ties(table: Table, families: Mapping[str, str]) -> list[Ties]:
    """Ways to tie, the fewest parameters first: one factor for each family, or for each set of kinds that spoke."""
    of_family = _numbered([(families[kinds[0]],) for kinds, _ in table.answers])
    of_set = _numbered([tuple(kind for kind, _ in votes) for _, votes in table.answers])
    # Equal for votes and their mirror image.
    mirrored = _numbered(
        [
            (q, *((kind, vote == votes[0][1]) for kind, vote in votes))
            for q, (_, votes) in zip(table.question, table.answers, strict=True)
        ]
    )
    return [Ties(of_family, mirrored), Ties(of_set, mirrored), Ties(of_set, np.arange(len(table.answers)))]


def _numbered(keys: Sequence[tuple[object, ...]]) -> Indices:
    """The same number for equal keys."""
    first = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.array([first[key] for key in keys], dtype=np.intp)


def fit_tied(table: Table, odds: Array, ties: Ties, start: HiddenStates) -> HiddenStates:
    """The most probable tied states, as many as `start` has. odds [A]: prior log-odds of answers, in nats.

    Shares, moods and frequencies start at those of `start`, factors at 1, so that the prior says which class is good."""
    model = _TiedModel(table, odds, ties, len(start.shares) == 4)
    begin = np.clip(model.begin(start), *np.array(model.bounds).T)
    options = {"maxiter": 1000, "ftol": 1e-12}
    best = minimize(model.loss, begin, jac=True, method="L-BFGS-B", bounds=model.bounds, options=options)
    return model.states(best.x)


class _TiedModel:
    """Parameters x: logarithms of the frequencies of answers, to a constant; of the common factor; of the groups' factors;
    the logit of the share of good items; with moods also the tilt, and the logit of the talkative share of each class."""

    def __init__(self, table: Table, odds: Array, ties: Ties, moods: bool) -> None:
        self.table, self.odds, self.ties, self.moods = table, odds, ties, moods
        self.common = int(ties.frequency.max()) + 1
        self.groups = int(ties.factor.max()) + 1
        self.share = self.common + 1 + self.groups
        self.bounds = [_FREQUENCY] * self.common + [_COMMON] + [_GROUP] * self.groups + [_ODDS]
        self.bounds += [_TILT, _ODDS, _ODDS] if moods else []
        sd = np.full(len(self.bounds), np.inf)
        sd[self.common], sd[self.common + 1 : self.share], sd[self.share] = COMMON_SD, GROUP_SD, TIED_SHARE_SD
        self.precision = sd**-2.0

    def begin(self, start: HiddenStates) -> Array:
        calm = np.log(start.rates[:, :: len(start.shares) // 2]).mean(axis=1)
        frequency = np.bincount(self.ties.frequency, calm) / np.bincount(self.ties.frequency)
        moods = [start.tilt, *(logit(part[1] / part.sum()) for part in np.split(start.shares, 2))] if self.moods else []
        return np.concatenate([frequency, np.zeros(1 + self.groups), [logit(start.good), *moods]])

    def log_odds(self, x: Array) -> Array:
        odds: Array = np.exp(x[self.common] + x[self.common + 1 : self.share])[self.ties.factor] * self.odds
        return odds

    def states(self, x: Array) -> HiddenStates:
        calm = np.exp(x[self.ties.frequency][:, None] + self.log_odds(x)[:, None] * _HALVES)
        good = float(sigmoid(x[self.share]))
        if self.moods:
            return with_moods(self.table, calm, float(x[self.share + 1]), good, sigmoid(x[self.share + 2 :]))
        return HiddenStates(both(good), self.table.normalized(calm))

    def loss(self, x: Array) -> tuple[float, Array]:
        """Minus the logarithm of likelihood times prior, and its gradient."""
        states = self.states(x)
        weights = self.table.items[:, None] * expected(self.table, states)
        answers, items = self.table.seen.T @ weights, weights.sum(axis=0)
        # Slope in ln rate: the excess of an answer over its rate times the number of all answers to its question.
        excess = answers - self.table.by_question(answers) * states.rates
        by_frequency = np.bincount(self.ties.frequency, excess.sum(axis=1))
        by_answer = excess @ np.repeat(_HALVES, len(items) // 2) * self.log_odds(x)
        classes = items.reshape(2, -1).sum(axis=1)
        by_factor = np.bincount(self.ties.factor, by_answer)
        slopes = [by_frequency, by_answer.sum(keepdims=True), by_factor, classes[:1] - items.sum() * states.good]
        loss = float(self.precision @ x**2) / 2.0 - log_likelihood(self.table, states)
        if self.moods:
            # Half an item in each mood, so that none is empty.
            moods = sigmoid(x[self.share + 2 :])
            slopes += [
                (self.table.spoke @ excess[:, 1::2]).sum(keepdims=True),
                items[1::2] + 0.5 - (classes + 1.0) * moods,
            ]
            loss -= float(np.log(moods * (1.0 - moods)).sum()) / 2.0
        return loss, self.precision * x - np.concatenate(slopes)
