"""EM over answer patterns (Dawid and Skene 1979): how reliable each family of signals is, from what its detectors declare and
from the log itself.

Two latent classes c, good and bad. The families of an item answer independently given its class:

    P(answers, c) = share_c * product over families f of rate_c(answer of f | the kinds of f that could be observed)

Silence is one of the answers, so feedback that is missing not at random (annoyed users answer more often) is modeled. A
family of which nothing could be observed is no factor. Kinds of one family may copy each other: their joint votes are one
answer, so a copy adds nothing. People's labels of an item replace its expected class.

**Signs.** Within a question (a family and its kinds that could be observed) an answer a has the log-odds x_a, against
silence:

    rate_c(a) = exp(f_a + x_a / 2 if c is good, f_a - x_a / 2 if c is bad), normalized in each class
    x_a = w_a * shared factor * factor of the votes

w_a are the declared log-odds of the strongest votes, at their strengths. The shared factor is one for all declared good
votes and one for all bad ones; where nothing is declared, one for each set of kinds, which is as reliable by either vote
until the log shows otherwise. Factors are positive, so the log decides how much a vote counts and never for which side. The
normalization alone could turn a weak vote next to stronger ones; there the evidence is 0.

**Priors.** They are normal, on the logarithms of the factors and on the logit of the share of good items, and were fixed on
simulated logs (research log of version 0.3). Kinds depend on each other in ways that two classes do not explain. That
error does not shrink with the size of a log: the strongest dependence in a log of restaurant bookings was who says thanks at
the end. So a log of any size weighs no more than LOG_ITEMS items against what was declared, and people's labels count in
full (the power likelihood of Miller and Dunson 2019). What a log cannot teach stays at the prior. Kinds that
declare nothing have a wide prior, and there every item counts.

**Undeclared copies.** Families of which one is undeclared, and which agree more than the classes explain, are joined and all
is fitted again, as long as BIC improves (Schwarz 1978).

Each domain has its share of good items, with a prior worth DOMAIN_ITEMS items, and the rates of the whole log.

The cost grows with the distinct patterns, not with the items. Sources: Dawid and Skene 1979, "Maximum Likelihood Estimation
of Observer Error-Rates Using the EM Algorithm"; Miller and Dunson 2019, "Robust Bayesian Inference via Coarsening"; silence
as an answer, families and signs are added. Optimizer: L-BFGS on the likelihood itself (Byrd et al. 1995), since EM is slow
where kinds are weak."""

import math
from collections.abc import Iterator, Mapping, Sequence
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
from labelgen.feedback.signal import reliability

GOOD_SHARE, SHARE_SD = 0.75, 1.0
"""Prior of the share of good items: its mean, and the standard deviation of its logit."""

DIRECTIONS, DIRECTION_SD = (1.0, 2.0), 0.5
"""Prior factors on the declared log-odds of good votes and of bad ones, and the standard deviation of their logarithm.
Complaints say more than was written down."""

DECLARED_SD = 0.5
"""Standard deviation of the logarithm of the factor of one combination of declared votes."""

KINDS_SD, VOTES_SD = 1.0, 0.25
"""The same where nothing is declared: of the factor that the votes of a set of kinds share, and of that of each; also of how
much more frequent a vote is than its mirror image, beyond what the classes explain."""

BALANCE_SD = 1.0
"""Standard deviation of what the normalization adds to the log-odds of all answers to a question, so of what silence says,
where some votes are declared: declared log-odds are those of the votes, not only of one against another."""

LOG_ITEMS = 100.0
"""Number of items that a log of any size is worth against the declared precisions."""

DOMAIN_ITEMS = 300.0
"""Number of items of a domain that the share of the whole log is worth."""

TOLERANCE = 1e-9
MAX_STEPS = 5000
"""The share of a domain is fitted until it moves no further than this in one step of EM."""

NEARLY_ALL, STRONG, NOTHING = 0.99, 1.5, 0.1
"""An answer's share of those to its question; prior log-odds that are strong, and learned ones that say nothing, in nats."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The parameters of one unit, in one domain or in all.

    families: of each kind that spoke somewhere. recorded: kinds whose silence can always be observed. good: the share of
    good items. rates: frequency of each answer among good and among bad items, where it could be given. prior_only: answers
    that nearly everybody gives and that seem to say nothing; such a log cannot say how reliable they are, so they keep their
    prior."""

    families: Mapping[str, str]
    recorded: frozenset[str]
    good: float
    rates: Mapping[Answer, tuple[float, float]]
    prior_only: frozenset[Answer] = frozenset()

    def evidence(self, answer: Answer) -> float:
        """Log-odds of good of one answer, in nats; never against the answer's votes. An answer without learned rates counts as
        declared."""
        rates = None if answer in self.prior_only else self.rates.get(answer)
        if rates is None:
            return prior_of(answer)
        nats = math.log(rates[0] / rates[1])
        votes = {vote for _, vote in answer[1]}
        if votes == {"good"}:
            return max(nats, 0.0)
        return min(nats, 0.0) if votes == {"bad"} else nats

    def log_odds(self, pattern: Pattern) -> float:
        """Log-odds of good, in nats, from the answers and not from people's labels."""
        return logit(self.good) + math.fsum(map(self.evidence, self.answers(pattern)))

    def answers(self, pattern: Pattern) -> list[Answer]:
        """The answers of the families; empty where nothing could be observed."""
        return family_answers(pattern, self.families, self.recorded)

    def posterior(self, pattern: Pattern) -> float:
        """Probability of good."""
        return float(sigmoid(self.log_odds(pattern)))


def fit(counts: Mapping[Pattern, int], whole: Rates | None = None) -> Rates:
    """Maximum a posteriori rates. The order of the counts does not matter.

    whole: rates of the whole log, for a domain; every answer must have been seen there. Raises ValueError where no item
    has a kind that speaks and could be observed."""
    if whole is not None:
        return replace(whole, good=_share_of_domain(counts, whole))
    recorded = recorded_kinds(counts)
    families = families_of(counts)
    fitted = _fit(table_of(counts, families, recorded))
    while (pair := closest_pair(fitted, families)) is not None:
        joined = join_families(families, *pair)
        other = _fit(table_of(counts, joined, recorded))
        if other.score <= fitted.score:
            break
        families, fitted = joined, other
    result = Rates(families, recorded, fitted.good, fitted.by_answer())
    return replace(result, prior_only=frozenset(_not_identified(fitted.table, result)))


def _not_identified(table: Table, rates: Rates) -> Iterator[Answer]:
    """Answers that nearly all users give and that seem to say nothing, though their prior is strong; none where people
    judged, whose labels decide."""
    if (table.known >= 0.0).any():
        return
    for answer, share in zip(table.answers, table.shares, strict=True):
        if share >= NEARLY_ALL and abs(prior_of(answer)) >= STRONG and abs(rates.evidence(answer)) < NOTHING:
            yield answer


def prior_of(answer: Answer) -> float:
    """The strongest good and the strongest bad vote of an answer, added; log-odds of good in nats, as declared."""
    _, votes, strengths = answer
    odds = [prior_log_odds(kind, vote, strength) for (kind, vote), strength in zip(votes, strengths, strict=True)]
    return max((x for x in odds if x > 0.0), default=0.0) + min((x for x in odds if x < 0.0), default=0.0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fit of a table. good: share of good items. rates [A, 2]: frequency of each answer in the two classes."""

    table: Table
    good: float
    rates: Array

    @property
    def score(self) -> float:
        """Log-likelihood, less the cost of as many free rates (BIC)."""
        cost = math.log(self.table.items.sum()) / 2.0
        return log_likelihood(self.table, self.good, self.rates) - 2 * self.table.freedom * cost

    def by_answer(self) -> dict[Answer, tuple[float, float]]:
        """The rates of each answer."""
        rows = zip(self.table.answers, self.rates, strict=True)
        return {answer: (float(good), float(bad)) for answer, (good, bad) in rows}


def joint(table: Table, good: float, rates: Array) -> Array:
    """ln P(pattern, class), [P, 2]."""
    logs: Array = table.seen @ np.log(rates) + np.log(both(good))
    return logs


def log_likelihood(table: Table, good: float, rates: Array) -> float:
    """Of all items; people's labels give the class of an item that has some."""
    logs = joint(table, good, rates)
    labeled = (both(table.known) * logs).sum(axis=1)
    return float(table.items @ np.where(table.known < 0.0, np.logaddexp(logs[:, 0], logs[:, 1]), labeled))


def expected(table: Table, good: float, rates: Array) -> Array:
    """Probability of each class for each pattern, [P, 2]; that of people's labels where there are some."""
    logs = joint(table, good, rates)
    free = both(sigmoid(logs[:, 0] - logs[:, 1]))
    labeled: Array = np.where(table.known[:, None] < 0.0, free, both(table.known))
    return labeled


def _fit(table: Table) -> Fitted:
    model = SignedModel(table)
    options = {"maxiter": 2000, "ftol": 1e-12}
    # From the share of good items by what is declared; a prior share far from it could be a local maximum.
    declared = sigmoid(table.seen @ model.odds + logit(GOOD_SHARE))
    begin = model.mean.copy()
    begin[-1] = logit(float(table.items @ declared / table.items.sum()))
    begin = np.clip(begin, *np.array(model.bounds).T)
    best = minimize(model.loss, begin, jac=True, method="L-BFGS-B", bounds=model.bounds, options=options)
    good, rates = model.states(best.x)
    return Fitted(table, good, rates)


_HALVES = np.array([0.5, -0.5])
_FREQUENCY, _FACTOR, _LOGIT = (-30.0, 3.0), (-3.0, 3.0), (-7.0, 7.0)
"""Bounds of the parameters, since data that say nothing, or everything, would let them run away."""

_LOOSE = 1e3
"""Standard deviation of the frequencies, which the log determines; it makes the maximum unique."""


class SignedModel:
    """The posterior of all parameters of a table.

    Parameters x: logarithms of the frequencies of answers, to a constant; the same shared by an answer and its mirror image,
    in which every vote is reversed; logarithms of the shared factors; of the factor of each combination of votes, whatever
    their strengths and the other kinds; the logit of the share of good items. mean, precision: of their normal
    priors."""

    def __init__(self, table: Table) -> None:
        self.odds = np.array([prior_of(answer) for answer in table.answers])
        declared = np.array([all(reliability(kind).declared for kind, _ in votes) for _, votes, _ in table.answers])
        spoke = np.array([bool(votes) for _, votes, _ in table.answers])
        of_kinds = _numbered([tuple(kind for kind, _ in votes) for _, votes, _ in table.answers])
        self.mirrored = _numbered([_mirrored(answer) for answer in table.answers])
        self.shared = np.where(declared, self.odds < 0.0, 2 + of_kinds)
        self.votes = _numbered([votes for _, votes, _ in table.answers])
        pairs, shared, votes = (1 + int(numbers.max()) for numbers in (self.mirrored, 2 + of_kinds, self.votes))
        self.cuts = np.cumsum([len(spoke), pairs, shared, votes])
        # A power of the likelihood is the same as as many copies of the prior, and of people's labels.
        unlabeled = float(table.items[table.known < 0.0].sum())
        copies = max(1.0, unlabeled / LOG_ITEMS) if (declared & spoke).any() else 1.0
        self.table = replace(table, items=np.where(table.known < 0.0, 1.0, copies) * table.items)
        narrowing = copies**-0.5
        both_ways = ~declared & (np.bincount(self.mirrored)[self.mirrored] > 1)
        sd = np.concatenate(
            [
                np.where(both_ways, VOTES_SD, _LOOSE),
                np.full(pairs, _LOOSE),
                np.where(np.arange(shared) < 2, DIRECTION_SD * narrowing, KINDS_SD),
                np.full(votes, VOTES_SD),
                [SHARE_SD * narrowing],
            ]
        )
        sd[self.cuts[2] + self.votes[declared]] = DECLARED_SD * narrowing
        self.precision = sd**-2.0
        frequency = np.log(table.shares)
        self.mean = np.zeros(len(sd))
        self.mean[: len(spoke)] = np.where(both_ways, 0.0, frequency)
        self.mean[len(spoke) + self.mirrored[both_ways]] = frequency[both_ways]
        self.mean[self.cuts[1] : self.cuts[1] + 2] = np.log(DIRECTIONS)
        self.mean[-1] = logit(GOOD_SHARE)
        # Of questions with several answers, of which some are declared; weighted by their frequency.
        numbers, sizes = np.unique(table.question, return_counts=True)
        self.questions = np.intersect1d(table.question[declared & spoke], numbers[sizes > 1])
        times = table.by_question((table.items @ table.seen)[:, None])[:, 0] / table.items.sum()
        self.balance = times * (BALANCE_SD * narrowing) ** -2.0
        self.bounds = [_FREQUENCY] * (len(spoke) + pairs) + [_FACTOR] * (shared + votes) + [_LOGIT]

    def log_odds(self, x: Array) -> Array:
        """Of each answer against silence, [A], with the sign of what was declared."""
        _, _, shared, votes, _ = np.split(x, self.cuts)
        odds: Array = np.exp(shared[self.shared] + votes[self.votes]) * self.odds
        return odds

    def states(self, x: Array) -> tuple[float, Array]:
        """The share of good items, and the rates [A, 2]."""
        single, mirrored, *_ = np.split(x, self.cuts)
        logs = (single + mirrored[self.mirrored])[:, None] + self.log_odds(x)[:, None] * _HALVES
        return float(sigmoid(x[-1])), self.table.normalized(np.exp(logs))

    def added(self, x: Array, rates: Array) -> Array:
        """What the normalization adds to the log-odds of each answer, [A]; 0 for questions without declared votes."""
        added: Array = np.log(rates[:, 0] / rates[:, 1]) - self.log_odds(x)
        return np.where(np.isin(self.table.question, self.questions), added, 0.0)

    def loss(self, x: Array) -> tuple[float, Array]:
        """Minus the logarithm of likelihood times prior, and its gradient."""
        good, rates = self.states(x)
        weights = self.table.items[:, None] * expected(self.table, good, rates)
        answers, items = self.table.seen.T @ weights, weights.sum(axis=0)
        # Slope in ln rate: the excess of an answer over its rate times the number of all answers to its question.
        excess = answers - self.table.by_question(answers) * rates
        # Its prior has a slope in the logarithm of the frequency, and in the log-odds, of each answer.
        added = self.added(x, rates)
        by_frequency = excess.sum(axis=1) + self.balance * added * (rates[:, 0] - rates[:, 1])
        by_answer = (excess @ _HALVES + self.balance * added * rates.mean(axis=1)) * self.log_odds(x)
        slopes = [
            by_frequency,
            np.bincount(self.mirrored, by_frequency),
            np.bincount(self.shared, by_answer, self.cuts[2] - self.cuts[1]),
            np.bincount(self.votes, by_answer),
            [items[0] - items.sum() * good],
        ]
        away = x - self.mean
        prior = self.precision @ away**2 + (self.balance * added**2)[self.questions].sum()
        loss = float(prior) / 2.0 - log_likelihood(self.table, good, rates)
        return loss, self.precision * away - np.concatenate(slopes)


def _numbered(keys: Sequence[tuple[object, ...]]) -> Indices:
    """The same number for equal keys."""
    first = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.array([first[key] for key in keys], dtype=np.intp)


def _mirrored(answer: Answer) -> tuple[object, ...]:
    """Equal for an answer and its mirror image, in which every vote is reversed."""
    kinds, votes, strengths = answer
    return (kinds, strengths, *((kind, vote == votes[0][1]) for kind, vote in votes))


def _share_of_domain(counts: Mapping[Pattern, int], whole: Rates) -> float:
    """The share of good items at which EM ends, from that of the whole log."""
    rows = [(whole.log_odds(p) - logit(whole.good), p.known, count) for p, count in sorted(counts.items(), key=repr)]
    nats, items = (np.array([row[k] for row in rows], dtype=np.float64) for k in (0, 2))
    known = np.array([math.nan if row[1] is None else row[1] for row in rows])
    good = whole.good
    for _ in range(MAX_STEPS):
        posterior = np.where(np.isnan(known), sigmoid(nats + logit(good)), known)
        after = float((items @ posterior + DOMAIN_ITEMS * whole.good) / (items.sum() + DOMAIN_ITEMS))
        if abs(after - good) <= TOLERANCE:
            break
        good = after
    return after


# Families that nobody declared.
#
# Kinds that copy each other in part agree where neither is right. As separate families they look like the most reliable
# ones. So the pair of families whose answers depend on each other most, given the fit, is joined, and all is fitted again.
# Source of the test: the likelihood ratio of independence (G squared) in two-way tables, with the penalty of Schwarz 1978.
# The problem is that of Bach et al. 2017, "Learning the Structure of Generative Models without Labeled Data".

LEAST_SHARE = 0.1
"""Families are joined only if they agree more often than the classes explain by this share of the votes of the rarer one,
and in COPY_ITEMS items: a large log can show the least dependence, and one family of all kinds would say nothing."""


def closest_pair(fitted: Fitted, families: Mapping[str, str]) -> tuple[str, str] | None:
    """The two families that are most worth joining; None where none are. Families that are declared are not joined: what
    they share beyond the classes does little harm, since their log-odds stay near the declared ones."""
    table = fitted.table
    undeclared = {family for kind, family in families.items() if not reliability(kind).declared}
    if not undeclared:
        return None
    observed, independent = _observed_and_expected(fitted)
    members: dict[str, list[int]] = {}
    for a, (kinds, *_) in enumerate(table.answers):
        members.setdefault(families[kinds[0]], []).append(a)
    best, pair = 0.0, None
    for one, other in combinations(sorted(members), 2):
        if {one, other} & undeclared:
            gain = _gain(table, observed, independent, members[one], members[other])
            if gain > best:
                best, pair = gain, (one, other)
    return pair


def _observed_and_expected(fitted: Fitted) -> tuple[Array, Array]:
    """Number of items with two answers at once, and its expectation if answers are independent given the class, [A, A]; the
    expectation is over the items where both questions could be observed."""
    table = fitted.table
    observed = (table.seen * table.items[:, None]).T @ table.seen
    observable = table.seen @ (table.question[:, None] == table.question[None, :])
    posterior = expected(table, fitted.good, fitted.rates)
    independent = np.zeros_like(observed)
    for c in (0, 1):
        pairs = (observable * (table.items * posterior[:, c])[:, None]).T @ observable
        independent += pairs * np.outer(fitted.rates[:, c], fitted.rates[:, c])
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
