"""Families that nobody declared: kinds that agree more than the hidden states explain.

Kinds that copy each other in part agree where neither is right. Left apart they look like the ones that know best. The
pair of families whose answers depend on each other most, given the states that were fitted, is joined, and all is fitted
again. A strong copy leads the fit astray, and is then also what that fit explains worst, since two classes cannot say how
silence is copied too; a weak one stands out beside a fit that is right.

Source of the test: the likelihood ratio of independence (G squared) in two-way tables, with the penalty of Schwarz 1978.
The problem is that of Bach et al. 2017, "Learning the Structure of Generative Models without Labeled Data"."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from labelgen.feedback.em.latent import States, expected
from labelgen.feedback.em.patterns import COPY_ITEMS
from labelgen.feedback.em.table import Array, Table

LEAST_SHARE = 0.1
"""Families are joined that say the same more often than the states explain, by this share of the votes of the one that
speaks less, and in COPY_ITEMS items. In a large log the least dependence can be shown, and a family of everything would
tell nothing; and kinds that never speak at once copy nothing."""


def closest_pair(table: Table, states: States, families: Mapping[str, str]) -> tuple[str, str] | None:
    """The two families that are most worth joining; None where none are."""
    found = _observed_and_expected(table, states)
    of_family: dict[str, list[int]] = {}
    for a, (asked, _) in enumerate(table.answers):
        of_family.setdefault(families[asked[0]], []).append(a)
    best, pair = 0.0, None
    for one, other in combinations(sorted(of_family), 2):
        gain = _gain(table, *found, of_family[one], of_family[other])
        if gain > best:
            best, pair = gain, (one, other)
    return pair


def joined(families: Mapping[str, str], pair: tuple[str, str]) -> dict[str, str]:
    """The families with these two as one."""
    return {kind: pair[0] if family == pair[1] else family for kind, family in families.items()}


def _observed_and_expected(table: Table, states: States) -> tuple[Array, Array]:
    """How many items give two answers at once, and how many would if all that binds them were the state, [A, A]. Of the
    items where both were asked the states are as their answers tell."""
    observed = (table.seen * table.items[:, None]).T @ table.seen
    asked = table.seen @ (table.question[:, None] == table.question[None, :])
    posterior = expected(table, states)
    independent = np.zeros_like(observed)
    for s in range(posterior.shape[1]):
        both_asked = (asked * (table.items * posterior[:, s])[:, None]).T @ asked
        independent += both_asked * np.outer(states.rates[:, s], states.rates[:, s])
    return observed, independent


def _gain(table: Table, observed: Array, independent: Array, one: list[int], other: list[int]) -> float:
    """Nats that a table of their own for these two families gains, less what its numbers cost; 0 where they do not say the
    same more often than they should."""
    seen, alone = observed[np.ix_(one, other)], independent[np.ix_(one, other)]
    verdicts = [[{vote for _, vote in table.answers[a][1]} for a in family] for family in (one, other)]
    same = np.array([[len(x) == 1 and x == y for y in verdicts[1]] for x in verdicts[0]])
    votes = min(seen[[bool(x) for x in verdicts[0]]].sum(), seen[:, [bool(y) for y in verdicts[1]]].sum())
    if (seen - alone)[same].sum() < max(LEAST_SHARE * votes, COPY_ITEMS):
        return 0.0
    held = seen > 0.0
    # Both sides sum to the same number of items, so that nothing but the logarithms is left.
    nats = float((seen[held] * np.log(seen[held] / alone[held])).sum())
    sizes = [np.unique(table.question[family], return_counts=True) for family in (one, other)]
    asked = {(int(table.question[one[i]]), int(table.question[other[j]])) for i, j in np.argwhere(held)}
    by_question = [dict(zip(map(int, q), map(int, n), strict=True)) for q, n in sizes]
    more = sum((by_question[0][q] - 1) * (by_question[1][r] - 1) for q, r in asked)
    return nats - more * float(np.log(table.items.sum()))
