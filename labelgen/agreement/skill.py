"""How far each annotator can be believed, learned from how they agree; nobody needs to know the truth.

Of each item one of K names holds. Two models, fitted by EM over the distinct patterns of answers, so that the cost is that of
the patterns and not of the items, from the shares of the votes:

dawid-skene: an annotator answers c where t holds at a rate of their own, and names are as frequent as they are. Source: Dawid
and Skene 1979, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm".
mace: an annotator knows what holds with one chance, and else answers c at a rate of their own that does not look at the item;
all names are as likely before. Far fewer numbers to learn. Source: Hovy et al. 2013, "Learning Whom to Trust with MACE".

Annotators who are known within one dialogue only (`r1` of a dialogue is nobody in the next) share one skill, or each would
be judged by a handful of answers."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labelgen.data.labels import Annotation, At, answers

Method = Literal["dawid-skene", "mace"]
Array = NDArray[np.float64]
Pattern = tuple[tuple[str, str | None], ...]
"""What was said of one item: (annotator, name), sorted; None for "none of the names can be told"."""

POOLED = ""
"""Who stands for all annotators who are known within one dialogue only."""

_STEPS, _TOLERANCE = 2000, 1e-9
_LEAST = 1e-10
"""A rate is never quite 0, or one answer could rule a name out for good."""
_GUESSES = 0.01
"""Answers that are added to those of each name that an annotator guessed, shared among the names, as MACE has it."""


@dataclass(frozen=True, slots=True)
class Skill:
    """names: [K], what may hold; share: [K], how often each does; rates: [A, K, K], how often an annotator answers the
    third where the second holds; rows: of which annotator each of the first is."""

    names: tuple[str | None, ...]
    share: Array
    rates: Array
    rows: Mapping[str, int]

    def posterior(self, pattern: Pattern) -> dict[str | None, float]:
        """How likely each name is. Raises KeyError for an annotator, ValueError for a name, that the fit did not see."""
        log = np.log(self.share)
        for who, name in pattern:
            log = log + np.log(self.rates[self.rows[who], :, self.names.index(name)])
        odds = np.exp(log - log.max())
        return dict(zip(self.names, (odds / odds.sum()).tolist(), strict=True))

    def right(self, who: str) -> float:
        """How often this annotator says what holds, by the fit."""
        return float(self.share @ np.diagonal(self.rates[self.rows[who]]))


def fit(patterns: Mapping[Pattern, int], method: Method) -> Skill:
    """patterns: how often each occurred, at least one. The order is of no influence."""
    listed = sorted(patterns, key=lambda pattern: [(who, name or "") for who, name in pattern])
    counts = np.array([patterns[pattern] for pattern in listed], dtype=np.float64)
    names = tuple(sorted({name for pattern in listed for _, name in pattern}, key=lambda name: name or ""))
    rows = {who: k for k, who in enumerate(sorted({who for pattern in listed for who, _ in pattern}))}
    said = _Said(
        np.repeat(np.arange(len(listed)), [len(pattern) for pattern in listed]),
        np.array([rows[who] for pattern in listed for who, _ in pattern]),
        np.array([names.index(name) for pattern in listed for _, name in pattern]),
        (len(listed), len(rows), len(names)),
    )
    posterior = said.shares()
    learn: Callable[[_Said, Array, Array | None], tuple[Array, Array, Array | None]]
    learn = _confusions if method == "dawid-skene" else _guessing
    knows: Array | None = None
    for _ in range(_STEPS):
        share, rates, knows = learn(said, posterior * counts[:, None], knows)
        before, posterior = posterior, said.posterior(share, rates)
        if np.abs(posterior - before).max() < _TOLERANCE:
            break
    return Skill(names, share, rates, rows)


@dataclass(frozen=True, slots=True)
class _Said:
    """All answers of all patterns: of: which pattern, who: which annotator, name: which name, each [N]; sizes: how many
    patterns, annotators and names there are."""

    of: NDArray[np.int64]
    who: NDArray[np.int64]
    name: NDArray[np.int64]
    sizes: tuple[int, int, int]

    def shares(self) -> Array:
        """[P, K]: of the votes on each pattern."""
        patterns, _, names = self.sizes
        votes: Array = np.bincount(self.of * names + self.name, minlength=patterns * names).astype(np.float64)
        table = votes.reshape(patterns, names)
        found: Array = table / table.sum(axis=1, keepdims=True)
        return found

    def posterior(self, share: Array, rates: Array) -> Array:
        """[P, K]."""
        each = np.log(rates)[self.who, :, self.name]
        log = np.log(share) + np.stack(
            [np.bincount(self.of, weights=each[:, t], minlength=self.sizes[0]) for t in range(self.sizes[2])], axis=1
        )
        odds = np.exp(log - log.max(axis=1, keepdims=True))
        found: Array = odds / odds.sum(axis=1, keepdims=True)
        return found

    def sums(self, each: Array) -> Array:
        """[A, K]: what every answer weighs, summed by annotator and name."""
        _, annotators, names = self.sizes
        found: Array = np.bincount(self.who * names + self.name, weights=each, minlength=annotators * names).astype(
            np.float64
        )
        return found.reshape(annotators, names)


def _confusions(said: _Said, weights: Array, _: Array | None) -> tuple[Array, Array, None]:
    """weights: [P, K], how many items of each pattern each name holds of."""
    rates = np.stack([said.sums(weights[said.of, t]) for t in range(said.sizes[2])], axis=1).clip(_LEAST)
    share = weights.sum(axis=0).clip(_LEAST)
    return share / share.sum(), rates / rates.sum(axis=2, keepdims=True), None


def _guessing(said: _Said, weights: Array, knew: Array | None) -> tuple[Array, Array, Array]:
    """knew: [A, K], how likely it is that a right answer was known and not guessed; one half at first."""
    _, annotators, names = said.sizes
    given = said.sums(weights.sum(axis=1)[said.of])
    right = said.sums(weights[said.of, said.name])
    known = right * (np.full((annotators, names), 0.5) if knew is None else knew)
    guessed = given - known + _GUESSES / names
    guesses = guessed / guessed.sum(axis=1, keepdims=True)
    knows = (known.sum(axis=1) + _GUESSES / names) / (given.sum(axis=1) + 2 * _GUESSES / names)
    rates = (knows[:, None, None] * np.eye(names) + ((1 - knows)[:, None] * guesses)[:, None, :]).clip(_LEAST)
    of_right = knows[:, None] + (1 - knows)[:, None] * guesses
    return np.full(names, 1 / names), rates, knows[:, None] / of_right


@dataclass(frozen=True, slots=True)
class Skills:
    """known: annotators of several dialogues; all others are POOLED. of: by task and by what its answers are about."""

    known: frozenset[str]
    of: Mapping[tuple[str, type[At]], Skill]

    def posterior(self, task: str, at: At, said: Sequence[tuple[str, str | None]]) -> dict[str | None, float] | None:
        """How likely each name is of this field, where (annotator, name) was said of it; None where nothing was learned of
        one of these annotators or names, as of one who answers alone."""
        skill, pattern = self.of.get((task, type(at))), self.pattern(said)
        if skill is None or any(who not in skill.rows or name not in skill.names for who, name in pattern):
            return None
        return skill.posterior(pattern)

    def pattern(self, said: Iterable[tuple[str, str | None]]) -> Pattern:
        pooled = [(who if who in self.known else POOLED, name) for who, name in said]
        return tuple(sorted(pooled, key=lambda answer: (answer[0], answer[1] or "")))


def learn(passes: Callable[[], Iterable[Sequence[Annotation]]], tasks: Iterable[str], method: Method) -> Skills:
    """The skills of all annotators in these tasks, of which one name holds. passes: gives the annotations of each
    dialogue anew each time; it is called twice. Fields that one annotator answered teach nothing and are left out."""
    dialogues = Counter(a.annotator for annotations in passes() for a in annotations)
    skills = Skills(frozenset(who for who, count in dialogues.items() if count > 1), {})
    del dialogues
    patterns: dict[tuple[str, type[At]], Counter[Pattern]] = {}
    wanted = tuple(tasks)
    for annotations in passes():
        for task in wanted:
            said: dict[At, list[tuple[str, str | None]]] = {}
            for annotation in annotations:
                for at, labels in answers(annotation, task).items():
                    said.setdefault(at, []).append((annotation.annotator, labels[0].name if labels else None))
            for at, given in said.items():
                if len(given) > 1:
                    patterns.setdefault((task, type(at)), Counter())[skills.pattern(given)] += 1
    return Skills(skills.known, {key: fit(found, method) for key, found in patterns.items()})
