"""Answer patterns: the votes of each kind of signal on an item, how many items share it, and all of them as arrays."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from labelgen.data.labels import UNIT_OF, Unit, answers
from labelgen.feedback.cues import Vote
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import FeedbackItem
from labelgen.feedback.signal import EARLIER, observable, reliability

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

Votes = tuple[tuple[str, Vote], ...]
"""(kind, vote) of the kinds that spoke, by kind; () is silence."""

Strengths = tuple[float, ...]
"""Of each vote, in quarters: 0.25, 0.5, 0.75 or 1."""

Answer = tuple[tuple[str, ...], Votes, Strengths]
"""The answer of one family: its kinds that could have spoken, their votes, and how strong these are."""

QUARTERS = 4

ANSWER = "answer"
"""The kind of an answer to "did I answer your question?". If a user answered explicitly, missing implicit signals are ignored:
they count as not observed (docs/explanation/decisions.md)."""

COPY = 0.9
"""A kind copies another one that says the same in this share of the items of which it speaks."""
COPY_ITEMS = 30
"""Fewer items are no evidence of a copy."""

GOOD = {"success": 1.0, "failure": 0.0, "good": 1.0, "fair": 0.5, "bad": 0.0}
"""A person's label of an item -> the share of good."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """votes: of the kinds that spoke. unseen: kinds, by name, that could not be observed or that contradict themselves;
    every other kind was silent. known: the share of people who call the item good, fair counts half; None where nobody
    judged it. strengths: of the votes; () if all are at full strength."""

    domain: str | None
    votes: Votes
    unseen: tuple[str, ...] = ()
    known: float | None = None
    strengths: Strengths = ()


Counts = dict[Unit, Counter[Pattern]]
"""unit -> pattern -> number of items."""


def count_patterns(items: Iterable[FeedbackItem], anchored: bool) -> Counts:
    """Count the patterns of all items. anchored: with people's labels."""
    counts: Counts = {}
    for item in items:
        counts.setdefault(UNIT_OF[type(item.at)], Counter())[pattern_of(item, anchored)] += 1
    return counts


def pattern_of(item: FeedbackItem, anchored: bool = False) -> Pattern:
    """The pattern of one item.

    Of a kind that speaks several times the strongest signal counts. A kind counts as not observed where its strongest
    signals contradict each other, where it casts only votes that it does not declare, and where it is silent next to an
    explicit answer. A kind without a detector could always have spoken, but for earlier turns where there is one turn only."""
    strongest: dict[str, dict[str, float]] = {}
    for signal in item.signals:
        by_vote = strongest.setdefault(signal.kind, {})
        if signal.vote in reliability(signal.kind).precision:
            by_vote[signal.vote] = max(signal.strength, by_vote.get(signal.vote, 0.0))
    votes: list[tuple[str, Vote]] = []
    strengths: list[float] = []
    unseen = [k for k in DETECTORS if k not in strongest and (ANSWER in strongest or not _observable(k, item))]
    if len(item.turns) < 2 and EARLIER not in strongest:
        unseen.append(EARLIER)
    for kind, by_vote in sorted(strongest.items()):
        good, bad = by_vote.get("good", -1.0), by_vote.get("bad", -1.0)
        if good == bad:
            unseen.append(kind)
        else:
            votes.append((kind, "good" if good > bad else "bad"))
            strengths.append(_in_quarters(max(good, bad)))
    full = all(strength == 1.0 for strength in strengths)
    known = share_of_people(item) if anchored else None
    return Pattern(item.domain, tuple(votes), tuple(sorted(unseen)), known, () if full else tuple(strengths))


def _in_quarters(strength: float) -> float:
    """Rounded up, so that no vote becomes silence; and not by an accident of the last bit."""
    return min(max(math.ceil(strength * QUARTERS - 1e-9), 1), QUARTERS) / QUARTERS


def _observable(kind: str, item: FeedbackItem) -> bool:
    return any(observable(kind, item.dialogue, turn) for turn in item.turns)


def share_of_people(item: FeedbackItem) -> float | None:
    """The share of the people who judged exactly this item that call it good; None where nobody did."""
    shares = [
        GOOD[label.name]
        for annotation in item.dialogue.annotations
        if annotation.kind == "person"
        for task in ("outcome", "quality")
        for label in answers(annotation, task).get(item.at, ())
        if label.name in GOOD
    ]
    return sum(shares) / len(shares) if shares else None


def recorded_kinds(patterns: Iterable[Pattern]) -> frozenset[str]:
    """Kinds that are never silent where they could be observed: the log records them where they happen, so they were
    silent wherever they did not speak."""
    spoke: set[str] = set()
    silent: set[str] = set()
    patterns = list(patterns)
    for pattern in patterns:
        spoke.update(kind for kind, _ in pattern.votes)
    for pattern in patterns:
        silent.update(spoke - set(pattern.unseen) - {kind for kind, _ in pattern.votes})
    return frozenset(spoke - silent)


def families_of(counts: Mapping[Pattern, int]) -> dict[str, str]:
    """Each kind that speaks somewhere, with its family.

    That is the declared family, joined with that of any kind which says the same wherever this one speaks, but for
    a few items. To join kinds without need only costs simplicity: their joint votes have rates of their own."""
    together: Counter[tuple[str, ...]] = Counter()
    for pattern, count in counts.items():
        for kind, vote in pattern.votes:
            together[kind,] += count
            for other, same in pattern.votes:
                if kind < other:
                    together[kind, other] += count * (vote == same)
    kinds = sorted(key[0] for key in together if len(key) == 1)
    families = {kind: reliability(kind).family for kind in kinds}
    for one, other in combinations(kinds, 2):
        rarer = min(together[one,], together[other,])
        if rarer >= COPY_ITEMS and together[one, other] >= COPY * rarer:
            families = join_families(families, families[one], families[other])
    return families


def join_families(families: Mapping[str, str], one: str, other: str) -> dict[str, str]:
    """The families with the second as part of the first."""
    return {kind: one if family == other else family for kind, family in families.items()}


def family_answers(pattern: Pattern, families: Mapping[str, str], recorded: Collection[str]) -> list[Answer]:
    """The answers of the families, in order; none for a family of which nothing could be observed.

    families: of each kind. recorded: kinds whose silence can always be observed."""
    members: dict[str, list[str]] = {}
    for kind, family in sorted(families.items()):
        if kind in recorded or kind not in pattern.unseen:
            members.setdefault(family, []).append(kind)
    strengths = pattern.strengths or (1.0,) * len(pattern.votes)
    votes = {kind: (vote, strength) for (kind, vote), strength in zip(pattern.votes, strengths, strict=True)}
    answers = []
    for kinds in members.values():
        spoke = [kind for kind in kinds if kind in votes]
        cast = tuple((kind, votes[kind][0]) for kind in spoke)
        answers.append((tuple(kinds), cast, tuple(votes[kind][1] for kind in spoke)))
    return answers


@dataclass(frozen=True, slots=True)
class Table:
    """Patterns as arrays.

    A question is a family with the kinds of it that could be observed; question [A]: its number, the same for all answers
    to it. seen [P, A]: 1 where a pattern has the answer. items [P]: number of items. known [P]: share of people who say
    good, -1 where nobody judged. shares [A]: frequency of each answer among those to its question."""

    answers: tuple[Answer, ...]
    question: Indices
    seen: Array
    items: Array
    known: Array
    shares: Array

    @property
    def freedom(self) -> int:
        """Number of free rates in one class: those of one question sum to 1."""
        return len(self.answers) - len(np.unique(self.question))

    def normalized(self, counts: Array) -> Array:
        """Counts of answers [A, S] as rates: those of one question sum to 1 in each state."""
        return counts / self.by_question(counts)

    def by_question(self, counts: Array) -> Array:
        """For each answer the sum over all answers to its question, [A, S]."""
        columns = [np.bincount(self.question, column, len(counts))[self.question] for column in counts.T]
        return np.stack(columns, axis=1)


def table_of(counts: Mapping[Pattern, int], families: Mapping[str, str], recorded: frozenset[str]) -> Table:
    """The table of these patterns. Raises ValueError where no item has a kind that could be observed."""
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
    first = {kinds: a for a, (kinds, *_) in reversed(list(enumerate(answers)))}
    seen = np.zeros((len(rows), len(answers)))
    for p, (row, _) in enumerate(rows):
        seen[p, [place[answer] for answer in row]] = 1.0
    items = np.array([merged[row] for row in rows], dtype=np.float64)
    question = np.array([first[kinds] for kinds, *_ in answers], dtype=np.intp)
    times = items @ seen
    shares = times / np.bincount(question, times, len(times))[question]
    known = np.array([share for _, share in rows])
    return Table(tuple(answers), question, seen, items, known, shares)


def both(good: Any) -> Array:
    """good and bad, along a new last axis."""
    return np.stack([good, 1.0 - good], axis=-1)


def sigmoid(x: Any) -> Any:
    return expit(x)


def logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
