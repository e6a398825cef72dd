"""Annotator reliability: Dawid-Skene, learned from agreement alone, and error rates counted against people.

Of each item one of K names holds.

dawid-skene: each annotator has a confusion matrix, and names have their own frequencies. EM starts from the shares of the votes, and
runs over the distinct patterns of answers, so that the cost grows with the patterns and not with the items. Source: Dawid and Skene
1979, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm".
measured: a confusion matrix for each annotator, counted against the answers of every other person to the same items. It is for an LLM
or a model with answers of few people, where EM is free to trust the machine.

Annotators of a single dialogue (`r1` of a dialogue is nobody in the next) share one reliability, since a handful of answers
cannot estimate one."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labelgen.data.labels import Annotation, At, answers

Method = Literal["dawid-skene", "measured"]
Array = NDArray[np.float64]
AnswerPattern = tuple[tuple[str, str | None], ...]
"""The answers to one item: (annotator, name), sorted; None for "none of the names"."""

POOLED = ""
"""Stands for all annotators of a single dialogue."""

_SMOOTHING = 1.0
"""Pseudo-count of each name that an annotator may answer where another holds, of counted rates."""

_STEPS, _TOLERANCE = 2000, 1e-9
_LEAST = 1e-10
"""A rate is never quite 0, or one answer could rule a name out for good."""


@dataclass(frozen=True, slots=True)
class AnnotatorReliability:
    """names: [K]. share: [K], frequency of each name. rates: [A, K, K], confusion matrices: how often an annotator answers the
    third where the second holds. rows: annotator -> index into the first axis."""

    names: tuple[str | None, ...]
    share: Array
    rates: Array
    rows: Mapping[str, int]

    def posterior(self, pattern: AnswerPattern) -> dict[str | None, float]:
        """Probability of each name. Raises KeyError for an unknown annotator, ValueError for an unknown name."""
        log = np.log(self.share)
        for who, name in pattern:
            log = log + np.log(self.rates[self.rows[who], :, self.names.index(name)])
        odds = np.exp(log - log.max())
        return dict(zip(self.names, (odds / odds.sum()).tolist(), strict=True))

    def accuracy(self, who: str) -> float:
        """Estimated share of right answers of an annotator."""
        return float(self.share @ np.diagonal(self.rates[self.rows[who]]))


def measure(patterns: Mapping[AnswerPattern, int], people: Collection[str]) -> AnnotatorReliability:
    """Counted rates: the answers of each other person to an item stand for the name that holds, with equal weights. Names have the
    frequencies of people's answers. Of an item that one annotator answered alone, the posterior is what a person says where that annotator
    says so.

    patterns: number of items of each. Raises ValueError where no item has answers of a person and of somebody else."""
    names, rows = _named(patterns)
    share: Array = np.zeros(len(names))
    pairs: Array = np.zeros((len(rows), len(names), len(names)))
    for pattern, count in sorted(patterns.items(), key=lambda entry: [(who, name or "") for who, name in entry[0]]):
        for k, (who, name) in enumerate(pattern):
            if who in people:
                share[names.index(name)] += count
            others = [other for j, (person, other) in enumerate(pattern) if j != k and person in people]
            for other in others:
                pairs[rows[who], names.index(other), names.index(name)] += count / len(others)
    if not pairs.any():
        raise ValueError("no item has answers of a person and of somebody else")
    pairs += _SMOOTHING
    share = np.maximum(share, _LEAST) / np.maximum(share, _LEAST).sum()
    return AnnotatorReliability(names, share, pairs / pairs.sum(axis=2, keepdims=True), rows)


def _named(patterns: Iterable[AnswerPattern]) -> tuple[tuple[str | None, ...], dict[str, int]]:
    """The names, and the row of each annotator."""
    listed = list(patterns)
    names = tuple(sorted({name for pattern in listed for _, name in pattern}, key=lambda name: name or ""))
    return names, {who: k for k, who in enumerate(sorted({who for pattern in listed for who, _ in pattern}))}


def fit(patterns: Mapping[AnswerPattern, int]) -> AnnotatorReliability:
    """Dawid-Skene. patterns: number of items of each, at least one. Their order does not matter."""
    listed = sorted(patterns, key=lambda pattern: [(who, name or "") for who, name in pattern])
    counts = np.array([patterns[pattern] for pattern in listed], dtype=np.float64)
    names, rows = _named(listed)
    data = _Answers(
        np.repeat(np.arange(len(listed)), [len(pattern) for pattern in listed]),
        np.array([rows[who] for pattern in listed for who, _ in pattern]),
        np.array([names.index(name) for pattern in listed for _, name in pattern]),
        (len(listed), len(rows), len(names)),
    )
    posterior = data.vote_shares()
    for _ in range(_STEPS):
        share, rates = data.shares_and_rates(posterior * counts[:, None])
        before, posterior = posterior, data.posterior(share, rates)
        if np.abs(posterior - before).max() < _TOLERANCE:
            break
    return AnnotatorReliability(names, share, rates, rows)


@dataclass(frozen=True, slots=True)
class _Answers:
    """All answers of all patterns, each [N]: pattern, who, name: indices. sizes: number of patterns P, annotators A and names
    K."""

    pattern: NDArray[np.int64]
    who: NDArray[np.int64]
    name: NDArray[np.int64]
    sizes: tuple[int, int, int]

    def vote_shares(self) -> Array:
        """[P, K]."""
        patterns, _, names = self.sizes
        table = np.bincount(self.pattern * names + self.name, minlength=patterns * names).astype(np.float64)
        table = table.reshape(patterns, names)
        shares: Array = table / table.sum(axis=1, keepdims=True)
        return shares

    def posterior(self, share: Array, rates: Array) -> Array:
        """[P, K]."""
        each = np.log(rates)[self.who, :, self.name]
        sums = [np.bincount(self.pattern, each[:, t], self.sizes[0]) for t in range(self.sizes[2])]
        log = np.log(share) + np.stack(sums, axis=1)
        odds = np.exp(log - log.max(axis=1, keepdims=True))
        result: Array = odds / odds.sum(axis=1, keepdims=True)
        return result

    def shares_and_rates(self, weights: Array) -> tuple[Array, Array]:
        """The M step: frequencies of names [K] and confusion matrices [A, K, K]. weights: [P, K], expected number of items of each
        pattern and name."""
        _, annotators, names = self.sizes
        cells = self.who * names + self.name
        sums = [np.bincount(cells, weights[self.pattern, t], annotators * names) for t in range(names)]
        rates = np.stack(sums).reshape(names, annotators, names).swapaxes(0, 1).clip(_LEAST)
        share = weights.sum(axis=0).clip(_LEAST)
        return share / share.sum(), rates / rates.sum(axis=2, keepdims=True)


@dataclass(frozen=True, slots=True)
class Reliabilities:
    """known: annotators of several dialogues; all others are POOLED. of: by task and type of place."""

    known: frozenset[str]
    of: Mapping[tuple[str, type[At]], AnnotatorReliability]

    def posterior(self, task: str, at: At, votes: Sequence[tuple[str, str | None]]) -> dict[str | None, float] | None:
        """Probability of each name for a field with these votes, (annotator, name); None where nothing was learned about one
        of the annotators or names, as for an annotator who always answers alone."""
        reliability, pattern = self.of.get((task, type(at))), self.pattern(votes)
        if reliability is None or any(
            who not in reliability.rows or name not in reliability.names for who, name in pattern
        ):
            return None
        return reliability.posterior(pattern)

    def pattern(self, votes: Iterable[tuple[str, str | None]]) -> AnswerPattern:
        pooled = [(who if who in self.known else POOLED, name) for who, name in votes]
        return tuple(sorted(pooled, key=lambda answer: (answer[0], answer[1] or "")))


def learn(passes: Callable[[], Iterable[Sequence[Annotation]]], tasks: Iterable[str], method: Method) -> Reliabilities:
    """The reliabilities of all annotators in these exclusive tasks. Fields with one annotator teach nothing and are left out.

    passes: gives the annotations of each dialogue; it is called twice. Raises ValueError where rates are to be measured and no field has an
    answer beside one of a person."""
    dialogues = Counter(a.annotator for annotations in passes() for a in annotations)
    reliabilities = Reliabilities(frozenset(who for who, count in dialogues.items() if count > 1), {})
    del dialogues
    patterns: dict[tuple[str, type[At]], Counter[AnswerPattern]] = {}
    names = tuple(tasks)
    kinds: set[tuple[str, str]] = set()
    for annotations in passes():
        kinds |= {(a.annotator if a.annotator in reliabilities.known else POOLED, a.kind) for a in annotations}
        for task in names:
            votes: dict[At, list[tuple[str, str | None]]] = {}
            for annotation in annotations:
                for at, labels in answers(annotation, task).items():
                    votes.setdefault(at, []).append((annotation.annotator, labels[0].name if labels else None))
            for at, of_field in votes.items():
                if len(of_field) > 1:
                    patterns.setdefault((task, type(at)), Counter())[reliabilities.pattern(of_field)] += 1
    if method != "measured":
        return Reliabilities(reliabilities.known, {key: fit(counts) for key, counts in patterns.items()})
    people = {who for who, _ in kinds} - {who for who, kind in kinds if kind != "person"}
    shared = (key for key, counts in patterns.items() if any(who in people for pattern in counts for who, _ in pattern))
    of = {key: measure(patterns[key], people) for key in shared}
    if not of:
        raise ValueError("no item has answers of a person and of somebody else")
    return Reliabilities(reliabilities.known, of)
