"""Answer patterns as arrays, and the arithmetic of two classes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelgen.feedback.em.patterns import Answer, Pattern, family_answers

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Table:
    """Patterns as arrays. question [A]: answers of one family, where the same of it could be observed, have one number;
    seen [P, A]: 1 where a pattern has that answer; items [P]; known [P]: share of people who say good, -1 where nobody
    judged; shares [A]: of each answer among those to its question."""

    answers: tuple[Answer, ...]
    question: Places
    seen: Array
    items: Array
    known: Array
    shares: Array

    @property
    def freedom(self) -> int:
        """How many rates of one class are free: those of one question sum to 1."""
        return len(self.answers) - len(np.unique(self.question))

    @property
    def spoke(self) -> Array:
        """How many kinds spoke in each answer, [A]."""
        return np.array([float(len(votes)) for _, votes in self.answers])

    def normalized(self, counts: Array) -> Array:
        """Counts of answers [A, S] as rates: those of one question sum to 1 in each state."""
        return counts / self.by_question(counts)

    def by_question(self, counts: Array) -> Array:
        """Of each answer the sum over all answers to its question, [A, S]."""
        columns = [np.bincount(self.question, column, len(counts))[self.question] for column in counts.T]
        return np.stack(columns, axis=1)


def table_of(counts: Mapping[Pattern, int], families: Mapping[str, str], recorded: frozenset[str]) -> Table:
    """Raises ValueError where there is nothing to learn from: no item of which some kind could be observed."""
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
    return Table(tuple(answers), question, seen, items, known, shares)


def both(good: Any) -> Array:
    """good and bad, along a new last axis."""
    return np.stack([good, 1.0 - good], axis=-1)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
