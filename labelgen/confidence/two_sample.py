"""Distribution shift: two-sample tests of dialogues, corrected for the number of tests.

Every aspect of a dialogue, such as its texts or the predicted intents, is a row of numbers. An aspect is tested by the energy distance
between the rows of a reference and those of a log, with random relabelings of the dialogues. So the level is exact for rows of any
distribution and dimension, as long as dialogues are independent. P-values are adjusted by Holm's method: one false alarm voids a
certificate, so the chance of any false alarm is bounded, and the aspects depend on each other.

Sources: Szekely and Rizzo 2013, "Energy statistics"; Besag and Clifford 1991, "Sequential Monte Carlo p-values"; Holm 1979.

An alarm that may be read after every week: has the mean of users changed since a release? A test by betting.

Users are independent, their dialogues are not, so a user is one draw, and counts once. Each user after the release is paired with one
from before: with himself where he was there, else with the next one by digest. Nobody is in two pairs. If nothing changed, the
difference of a pair has mean 0, and bets on its sign are a fair game: the wealth reaches 1 / p ever with a chance of at most p, at
whatever week one looks. The bets are a mixture of stakes in both directions, fixed in advance. A user who comes for the first time after the release must be like
those before it; who was there before need not.

Sources: Ville 1939; Shafer 2021, "Testing by betting"; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
betting".
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labelgen.confidence.resampling import Array, holm
from labelgen.data.labels import Unit
from labelgen.metrics.results import DriftTest

LEAST = 5
"""Minimum number of dialogues on both sides of a test."""
OTHERS = "other sources"
"""Dialogues of the log whose source has too few dialogues in the reference or in the log; tested against the whole reference."""
_EXCEEDANCES = 20
"""A test ends once so many relabelings are at least as far apart as the samples."""
_RELABELINGS_PER_TEST = 100
"""The smallest p-value, times the number of tests, is then a hundredth."""
_LEAST_RELABELINGS = 999
_FIRST, _AT_ONCE = 50, 250
"""Relabelings that are computed together, at first and at most."""

AspectKind = Literal["inputs", "predictions", "labels"]
Row = Mapping[str, float]
"""Column -> value; a missing column is 0."""


@dataclass(frozen=True, slots=True, order=True)
class Aspect:
    """What is measured of a dialogue. task, unit: empty for inputs."""

    kind: AspectKind
    name: str
    task: str = ""
    unit: Unit | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Independent dialogues, at most one of a user. rows: one for each dialogue, None where it has nothing of that aspect."""

    sources: tuple[str, ...]
    rows: Mapping[Aspect, tuple[Row | None, ...]]


def compare(reference: Sample, log: Sample, level: float = 0.05, seed: int = 0) -> list[DriftTest]:
    """Test every aspect that both samples have, for each source; the most significant test first.

    Args:
        level: chance of any false alarm in the whole comparison (Holm)."""
    tests = [
        (name, aspect, *tables)
        for name, ours, theirs in _groups(reference.sources, log.sources)
        for aspect in sorted(set(reference.rows) & set(log.rows))
        if (tables := _tables(reference.rows[aspect], log.rows[aspect], ours, theirs)) is not None
    ]
    most = max(_LEAST_RELABELINGS, _RELABELINGS_PER_TEST * len(tests))
    results = []
    for k, (source, aspect, columns, before, now) in enumerate(tests):
        p_value = energy_test(before, now, most, np.random.default_rng((seed, k)))
        means = before.mean(axis=0), now.mean(axis=0)
        spread = np.concatenate([before, now]).std(axis=0)
        column = int(np.argmax(np.abs(means[1] - means[0]) / np.where(spread > 0, spread, np.inf)))
        results.append(
            DriftTest(
                source=source,
                kind=aspect.kind,
                name=aspect.name,
                task=aspect.task,
                unit=aspect.unit,
                column=columns[column] if len(columns) > 1 else "",
                reference=float(means[0][column]),
                log=float(means[1][column]),
                reference_dialogues=len(before),
                log_dialogues=len(now),
                p_value=p_value,
            )
        )
    for one, p_adjusted in zip(results, holm([one.p_value for one in results]), strict=True):
        one.p_adjusted = p_adjusted
        one.drifted = p_adjusted <= level
    return sorted(results, key=lambda one: (one.p_adjusted, one.p_value))


def energy_test(first: Array, second: Array, most: int, rng: np.random.Generator) -> float:
    """P-value of the energy distance between two samples [N, d] and [M, d], by at most `most` random relabelings.

    It ends early where the p-value is large (Besag and Clifford). Exact: at any level, the chance of a p-value at most that level is
    at most the level where all rows come from one distribution."""
    rows = np.concatenate([first, second])
    distances = _distances(rows)
    sides = np.concatenate([np.full(len(first), 1 / len(first)), np.full(len(second), -1 / len(second))])
    # The energy distance is minus this quadratic form.
    observed = sides @ distances @ sides
    slack = 1e-9 * float(distances.max(initial=0.0))
    exceeding = drawn = 0
    while drawn < most:
        # Few at first: most tests end early.
        count = min(max(_FIRST, drawn), _AT_ONCE, most - drawn)
        shuffled = rng.permuted(np.tile(sides, (count, 1)), axis=1)
        at_least = ((shuffled @ distances) * shuffled).sum(axis=1) <= observed + slack
        passed = exceeding + np.cumsum(at_least)
        if passed[-1] >= _EXCEEDANCES:
            return _EXCEEDANCES / float(drawn + 1 + int(np.argmax(passed >= _EXCEEDANCES)))
        exceeding, drawn = int(passed[-1]), drawn + len(shuffled)
    return (exceeding + 1) / (most + 1)


def _distances(rows: Array) -> Array:
    """Euclidean distances of all pairs, [N, N]."""
    squares = (rows * rows).sum(axis=1)
    between: Array = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0.0))
    np.fill_diagonal(between, 0.0)
    return between


def _groups(reference: Sequence[str], log: Sequence[str]) -> Iterator[tuple[str, list[int], list[int]]]:
    """Name of each group of sources, and its positions in the reference and in the log."""
    here, there = Counter(log), Counter(reference)
    known = [source for source in sorted(here) if min(here[source], there[source]) >= LEAST]
    for source in known:
        yield (
            source,
            [k for k, name in enumerate(reference) if name == source],
            [k for k, name in enumerate(log) if name == source],
        )
    if rest := [k for k, name in enumerate(log) if name not in known]:
        yield OTHERS if known else _named(log), list(range(len(reference))), rest


def _named(sources: Sequence[str]) -> str:
    return sources[0] if len(set(sources)) == 1 else OTHERS


def _tables(
    reference: Sequence[Row | None], log: Sequence[Row | None], ours: Sequence[int], theirs: Sequence[int]
) -> tuple[tuple[str, ...], Array, Array] | None:
    """The columns and the rows of both sides; None with too few dialogues, or if no dialogue differs from another one."""
    before = [row for k in ours if (row := reference[k]) is not None]
    now = [row for k in theirs if (row := log[k]) is not None]
    if min(len(before), len(now)) < LEAST:
        return None
    columns = tuple(sorted({column for row in (*before, *now) for column in row}))
    first, second = (np.array([[row.get(c, 0.0) for c in columns] for row in rows]) for rows in (before, now))
    both = np.concatenate([first, second])
    return None if bool((both == both[:1]).all()) else (columns, first, second)


_STAKES = np.array([sign * stake for sign in (1, -1) for stake in (0.05, 0.1, 0.2, 0.4, 0.8)])


@dataclass(frozen=True, slots=True)
class Evidence:
    """After a period. p_value: valid at all times together. pairs: bets so far. rises: whether the mean rather rose than fell."""

    p_value: float
    pairs: int
    rises: bool


def evidence_of_change(before: Mapping[int, float], periods: Sequence[Mapping[int, float]]) -> list[Evidence]:
    """The evidence after each period. before, periods: digest of a user -> mean of what is judged of
    the user's dialogues there, 0..1."""
    left = dict(sorted(before.items()))
    logs = np.zeros(len(_STAKES))
    seen: set[int] = set()
    best, pairs, rises = 0.0, 0, False
    out = []
    for period in periods:
        for user in sorted(set(period) - seen):
            seen.add(user)
            # Whose earlier dialogues are in another pair is no new draw.
            if not left or (user in before and user not in left):
                continue
            partner = left.pop(user if user in left else next(iter(left)))
            logs += np.log1p(_STAKES * (period[user] - partner))
            pairs += 1
            wealth = float(np.logaddexp.reduce(logs)) - np.log(len(logs))
            if wealth > best:
                best, rises = wealth, bool(np.logaddexp.reduce(logs[:5]) > np.logaddexp.reduce(logs[5:]))
        out.append(Evidence(float(np.exp(-best)), pairs, rises))
    return out
