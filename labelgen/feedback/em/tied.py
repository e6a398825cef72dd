"""Rates with few numbers: kinds are right as often as is written, times a factor that the log tells.

Within a question the log-odds of an answer are the written ones times the factor of its group, plus what brings the rates of
each class to sum to one. How often answers are given is free, or the same for an answer and its mirror image, in which every
vote is turned: then a kind that votes both ways is right as often by either vote, and who is served badly speaks of it no more
often (the one-coin model, as in Zhang et al. 2014, "Spectral Methods Meet EM"). Free rates have a number for each answer in
each class, and leave open how often things go well where kinds are weak or rare; these few do not.

Prior: normal, with the standard deviations below, on the logit of the share of good items, the logarithm of the factor that all
groups have in common, and the logarithm of what each has besides. Found by L-BFGS on the likelihood itself (Byrd et al.
1995): EM crawls where kinds are weak."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from labelgen.feedback.em.latent import States, expected, log_likelihood, with_moods
from labelgen.feedback.em.table import Array, Places, Table, both, logit, sigmoid

SHARE_SD = 1.0
COMMON_SD = 1.0
OWN_SD = 0.5

_HALVES = np.array([0.5, -0.5])
_MOST_STEPS = 1000
_FOUND = 1e-12
_GIVEN, _COMMON, _OWN, _ODDS, _TILT = (-30.0, 3.0), (-3.0, 1.0), (-3.0, 3.0), (-7.0, 7.0), (-3.0, 3.0)
"""Bounds of the numbers, where data that tell nothing, or everything, would let them run away."""


@dataclass(frozen=True, slots=True)
class Ties:
    """Numbers that answers share, [A] each from 0. factor: on the written log-odds; given: how often they are given."""

    factor: Places
    given: Places

    def numbers(self, table: Table, written: Array) -> int:
        """How many are free; the factor of silence says nothing."""
        return int(self.given.max()) + 1 - len(np.unique(table.question)) + len(np.unique(self.factor[written != 0.0]))


def both_ways(table: Table, families: Mapping[str, str]) -> bool:
    """Whether every family was seen to vote good and to vote bad. The ties below take a kind for as right by one vote as by the
    other; of a kind that only complains they know nothing, and of a log of such kinds they make the wrong share of good items."""
    said: dict[str, set[str]] = {family: set() for family in families.values()}
    for _, votes in table.answers:
        for kind, vote in votes:
            said[families[kind]].add(vote)
    return all(len(votes) == 2 for votes in said.values())


def several_factors(table: Table, families: Mapping[str, str]) -> list[Ties]:
    """Ways to tie, the fewest numbers first: one factor for each family, or for each set of kinds that spoke."""
    of_family = _alike([(families[asked[0]],) for asked, _ in table.answers])
    of_set = _alike([tuple(kind for kind, _ in votes) for _, votes in table.answers])
    mirrored = _alike([(q, *_turned(votes)) for q, (_, votes) in zip(table.question, table.answers, strict=True)])
    return [Ties(of_family, mirrored), Ties(of_set, mirrored), Ties(of_set, np.arange(len(table.answers)))]


def tied(table: Table, written: Array, ties: Ties, start: States) -> States:
    """The most probable states of this kind, as many as `start` has. written [A]: the log-odds of answers, in nats. From start
    come shares, moods and how often answers are given; factors begin at 1, so that the written precisions say which class is
    the good one."""
    model = _Model(table, written, ties, len(start.shares) == 4)
    begin = np.clip(model.begin(start), *np.array(model.bounds).T)
    options = {"maxiter": _MOST_STEPS, "ftol": _FOUND}
    found = minimize(model.loss, begin, jac=True, method="L-BFGS-B", bounds=model.bounds, options=options)
    return model.states(found.x)


def _alike(keys: Sequence[tuple[object, ...]]) -> Places:
    """The same number for equal keys."""
    first = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.array([first[key] for key in keys], dtype=np.intp)


def _turned(votes: Sequence[tuple[str, str]]) -> list[tuple[str, bool]]:
    """The same for votes and their mirror image."""
    return [(kind, vote == votes[0][1]) for kind, vote in votes]


class _Model:
    """x: the logarithm of how often answers are given, to a constant; of the common factor; of the groups' own; the logit of the
    share of good items; with moods also the tilt, and the logits of the share of talkative items in each class."""

    def __init__(self, table: Table, written: Array, ties: Ties, moods: bool) -> None:
        self.table, self.written, self.ties, self.moods = table, written, ties, moods
        self.common = int(ties.given.max()) + 1
        self.groups = int(ties.factor.max()) + 1
        self.share = self.common + 1 + self.groups
        self.bounds = [_GIVEN] * self.common + [_COMMON] + [_OWN] * self.groups + [_ODDS]
        self.bounds += [_TILT, _ODDS, _ODDS] if moods else []
        sd = np.full(len(self.bounds), np.inf)
        sd[self.common], sd[self.common + 1 : self.share], sd[self.share] = COMMON_SD, OWN_SD, SHARE_SD
        self.precision = sd**-2.0

    def begin(self, start: States) -> Array:
        calm = np.log(start.rates[:, :: len(start.shares) // 2]).mean(axis=1)
        given = np.bincount(self.ties.given, calm) / np.bincount(self.ties.given)
        moods = [start.tilt, *(logit(part[1] / part.sum()) for part in np.split(start.shares, 2))] if self.moods else []
        return np.concatenate([given, np.zeros(1 + self.groups), [logit(start.good), *moods]])

    def log_odds(self, x: Array) -> Array:
        odds: Array = np.exp(x[self.common] + x[self.common + 1 : self.share])[self.ties.factor] * self.written
        return odds

    def states(self, x: Array) -> States:
        calm = np.exp(x[self.ties.given][:, None] + self.log_odds(x)[:, None] * _HALVES)
        good = float(sigmoid(x[self.share]))
        if self.moods:
            return with_moods(self.table, calm, float(x[self.share + 1]), good, sigmoid(x[self.share + 2 :]))
        return States(both(good), self.table.normalized(calm))

    def loss(self, x: Array) -> tuple[float, Array]:
        """Minus the logarithm of likelihood times prior, and its gradient."""
        states = self.states(x)
        weights = self.table.items[:, None] * expected(self.table, states)
        answers, items = self.table.seen.T @ weights, weights.sum(axis=0)
        # How many more of an answer are expected than its rate makes of those who were asked: the slope in ln rate.
        more = answers - self.table.by_question(answers) * states.rates
        given = np.bincount(self.ties.given, more.sum(axis=1))
        told = more @ np.repeat(_HALVES, len(items) // 2) * self.log_odds(x)
        classes = items.reshape(2, -1).sum(axis=1)
        by_factor = np.bincount(self.ties.factor, told)
        slopes = [given, told.sum(keepdims=True), by_factor, classes[:1] - items.sum() * states.good]
        loss = float(self.precision @ x**2) / 2.0 - log_likelihood(self.table, states)
        if self.moods:
            # Half an item in each mood, so that none is empty.
            moods = sigmoid(x[self.share + 2 :])
            slopes += [
                (self.table.spoke @ more[:, 1::2]).sum(keepdims=True),
                items[1::2] + 0.5 - (classes + 1.0) * moods,
            ]
            loss -= float(np.log(moods * (1.0 - moods)).sum()) / 2.0
        return loss, self.precision * x - np.concatenate(slopes)
