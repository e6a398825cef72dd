"""EM over hidden states: the classes good and bad, each of them calm alone, or calm and talkative.

A talkative item has every answer e^(tilt k) times as often as a calm one of its class, before all are brought to sum to
one, where k kinds spoke in that answer. So a user who is annoyed, or likes to talk, speaks through all kinds more often,
and what several kinds say, or do not say, is not several witnesses of it. Estimator of the tilted rates: Vardi 1985,
"Empirical Distributions in Selection Bias Models", one step of it in each step of EM."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labelgen.feedback.em.table import Array, Table, both

MOST_STEPS = 5000
_TILTS = (-3.0, 3.0)
_LEAST = 1e-12

FIRST_TILT = np.log(3.0)
FIRST_TALKATIVE = np.array([0.2, 0.4])
"""Where the search begins: who is talkative answers three times as often, and more are where items are bad."""


@dataclass(frozen=True, slots=True)
class States:
    """shares [S]: of the hidden states, the first half good, the second bad. rates [A, S]: how often an answer is given in
    a state, where it could be. tilt: of talkative against calm, where S is 4."""

    shares: Array
    rates: Array
    tilt: float = 0.0

    @property
    def good(self) -> float:
        """The share of good items."""
        return float(self.shares[: len(self.shares) // 2].sum())

    def of_class(self) -> Array:
        """Rates [A, 2], over all states of a class."""
        half = len(self.shares) // 2
        return np.stack(
            [
                self.rates[:, part] @ self.shares[part] / self.shares[part].sum()
                for part in (slice(half), slice(half, None))
            ],
            axis=1,
        )


Update = Callable[[Array, Array, States], States]
"""From expected counts of answers [A, S] and of items [S], and the states before, to the states after."""


def joint(table: Table, states: States) -> Array:
    """ln P(pattern, state), [P, S]."""
    logs: Array = table.seen @ np.log(states.rates) + np.log(states.shares)
    return logs


def log_likelihood(table: Table, states: States) -> float:
    """Of all items; where people judged one, its class is as they say."""
    classes = np.stack([_log_sum(part) for part in np.split(joint(table, states), 2, axis=1)], axis=1)
    judged = (both(table.known) * classes).sum(axis=1)
    return float(table.items @ np.where(table.known < 0.0, _log_sum(classes), judged))


def expected(table: Table, states: States) -> Array:
    """Of each pattern the probability of each state; that of a class is what people said of it, where they did, [P, S]."""
    logs = joint(table, states)
    free = _shares(logs)
    if (table.known < 0.0).all():
        return free
    good, bad = (_shares(part) for part in np.split(logs, 2, axis=1))
    known = table.known[:, None]
    judged: Array = np.where(known < 0.0, free, np.concatenate([known * good, (1.0 - known) * bad], axis=1))
    return judged


def maximize(table: Table, start: States, update: Update, tolerance: float, steps: int = MOST_STEPS) -> States:
    """EM; ends where no pattern's posterior moves further than `tolerance` in one step, or after so many steps."""
    states, before = start, expected(table, start)
    for _ in range(steps):
        weights = table.items[:, None] * before
        states = update(table.seen.T @ weights, weights.sum(axis=0), states)
        after = expected(table, states)
        if np.abs(after - before).max() <= tolerance:
            break
        before = after
    return states


def talkative(
    table: Table,
    prior: Callable[[float], Array],
    classes: Array,
    start: States,
    tolerance: float,
    steps: int = MOST_STEPS,
) -> States:
    """EM with four states, from two. prior: from the share of good items to pseudo-counts of answers [A, 2], whose mood is
    hidden; classes [2]: pseudo-counts of the classes."""
    spoke = table.spoke
    begun = with_moods(table, start.rates, FIRST_TILT, start.good, FIRST_TALKATIVE)

    def update(counts: Array, items: Array, states: States) -> States:
        of_class = np.split(states.rates * states.shares, 2, axis=1)
        moods_of = np.concatenate([own / own.sum(axis=1, keepdims=True) for own in of_class], axis=1)
        counts = counts + np.repeat(prior(states.good), 2, axis=1) * moods_of
        asked = table.by_question(counts)
        rates = np.empty((len(spoke), 2))
        slope = curve = 0.0
        for c in (0, 1):
            calm, loud = states.rates[:, 2 * c], states.rates[:, 2 * c + 1]
            told, given = counts[:, 2 * c : 2 * c + 2].sum(axis=1), asked[:, 2 * c : 2 * c + 2]
            rates[:, c] = told / (given[:, 0] + given[:, 1] * loud / calm)
            mean = table.by_question((loud * spoke)[:, None])[:, 0]
            slope += float(((counts[:, 2 * c + 1] - asked[:, 2 * c + 1] * loud) * spoke).sum())
            curve += float((asked[:, 2 * c + 1] * loud * (spoke - mean) ** 2).sum())
        tilt = float(np.clip(states.tilt + slope / max(curve, _LEAST), *_TILTS))
        of_classes = items.reshape(2, 2).sum(axis=1) + classes
        # Half an item in each mood, so that none is empty.
        moods = (items[1::2] + 0.5) / (items.reshape(2, 2).sum(axis=1) + 1.0)
        return with_moods(table, rates, tilt, float(of_classes[0] / of_classes.sum()), moods)

    return maximize(table, begun, update, tolerance, steps)


def with_moods(table: Table, calm: Array, tilt: float, good: float, moods: Array) -> States:
    """Four states. calm [A, 2]: rates in proportion; moods [2]: the share of talkative items in each class."""
    calm = table.normalized(np.maximum(calm, _LEAST))
    loud = table.normalized(calm * np.exp(tilt * table.spoke)[:, None])
    shares = both(good)[:, None] * np.stack([1.0 - moods, moods], axis=1)
    return States(shares.ravel(), np.stack([calm, loud], axis=2).reshape(len(calm), 4), tilt)


def _log_sum(logs: Array) -> Array:
    most = logs.max(axis=1)
    summed: Array = most + np.log(np.exp(logs - most[:, None]).sum(axis=1))
    return summed


def _shares(logs: Array) -> Array:
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: Array = odds / odds.sum(axis=1, keepdims=True)
    return shares
