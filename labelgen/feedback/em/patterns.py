"""From items to answer patterns: what each kind of signal said of an item, and how many items share it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from labelgen.data.labels import UNIT_OF, Unit, answers
from labelgen.feedback.detectors import DETECTORS, FAMILIES
from labelgen.feedback.items import EARLIER, Item
from labelgen.feedback.signal import observable
from labelgen.feedback.wording import Vote

Votes = tuple[tuple[str, Vote], ...]
"""(kind, vote) of the kinds that spoke, by kind; () is silence."""

Answer = tuple[tuple[str, ...], Votes]
"""What one family answered: the kinds of it that could have spoken, and what they said."""

ANSWER = "answer"
"""The kind of an answer to "did I answer your question?". Whoever has said it need not show it: silence of other kinds
beside an answer tells nothing, so they count as not observed (docs/explanation/decisions.md)."""

COPY = 0.9
"""A kind copies another one that says the same in this share of the items of which it speaks."""
COPY_ITEMS = 30
"""Fewer items tell nothing of that."""

GOOD = {"success": 1.0, "failure": 0.0, "good": 1.0, "fair": 0.5, "bad": 0.0}
"""What a person's label of an item says of it."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """votes: what was said. unseen: the kinds that could not be observed, or that contradict themselves, by name; every
    other kind was silent. known: the share of the people who judged the item that call it good, fair counting half; None
    where nobody did."""

    domain: str | None
    votes: Votes
    unseen: tuple[str, ...] = ()
    known: float | None = None


Counts = dict[Unit, Counter[Pattern]]
"""unit -> pattern -> how many items have it."""


def count_patterns(items: Iterable[Item], anchored: bool) -> Counts:
    """The patterns of all items. anchored: with what people said of them."""
    counts: Counts = {}
    for item in items:
        counts.setdefault(UNIT_OF[type(item.at)], Counter())[pattern_of(item, anchored)] += 1
    return counts


def pattern_of(item: Item, anchored: bool = False) -> Pattern:
    """The pattern of one item. Of a kind that speaks several times the strongest signal counts; where its strongest
    signals contradict each other, it counts as not observed, and so does a kind that is silent beside an answer. A kind that
    no detector finds could always have spoken. What happened on the way to a goal's end is left out: two classes take any
    trouble for the bad one (docs/explanation/decisions.md)."""
    strongest: dict[str, dict[str, float]] = {}
    for signal in (s for s in item.signals if s.kind != EARLIER):
        by_vote = strongest.setdefault(signal.kind, {})
        by_vote[signal.vote] = max(signal.strength, by_vote.get(signal.vote, 0.0))
    votes: list[tuple[str, Vote]] = []
    unseen = [k for k in DETECTORS if k not in strongest and (ANSWER in strongest or not _seen(k, item))]
    for kind, by_vote in sorted(strongest.items()):
        good, bad = by_vote.get("good", -1.0), by_vote.get("bad", -1.0)
        if good == bad:
            unseen.append(kind)
        else:
            votes.append((kind, "good" if good > bad else "bad"))
    return Pattern(item.domain, tuple(votes), tuple(sorted(unseen)), known(item) if anchored else None)


def _seen(kind: str, item: Item) -> bool:
    return any(observable(kind, item.dialogue, turn) for turn in item.turns)


def known(item: Item) -> float | None:
    """The share of the people who judged exactly this item that call it good; None where nobody did."""
    said = [
        GOOD[label.name]
        for annotation in item.dialogue.annotations
        if annotation.kind == "person"
        for task in ("outcome", "quality")
        for label in answers(annotation, task).get(item.at, ())
        if label.name in GOOD
    ]
    return sum(said) / len(said) if said else None


def recorded_kinds(patterns: Iterable[Pattern]) -> frozenset[str]:
    """The kinds that are never silent where they could be observed: the log records them where they happen, so that they
    were silent wherever they did not speak."""
    spoke: set[str] = set()
    silent: set[str] = set()
    patterns = list(patterns)
    for pattern in patterns:
        spoke.update(kind for kind, _ in pattern.votes)
    for pattern in patterns:
        silent.update(spoke - set(pattern.unseen) - {kind for kind, _ in pattern.votes})
    return frozenset(spoke - silent)


def families_of(counts: Mapping[Pattern, int]) -> dict[str, str]:
    """The kinds that speak somewhere, each with its family: the one that `FAMILIES` gives it, joined with that of any kind
    which says the same wherever this one speaks, but for a few items. Kinds that are joined without need lose nothing
    but simplicity: what they say together has rates of its own."""
    said: Counter[tuple[str, ...]] = Counter()
    for pattern, count in counts.items():
        for kind, vote in pattern.votes:
            said[kind,] += count
            for other, same in pattern.votes:
                if kind < other:
                    said[kind, other] += count * (vote == same)
    kinds = sorted(key[0] for key in said if len(key) == 1)
    families = {kind: FAMILIES.get(kind, kind) for kind in kinds}
    for one, other in combinations(kinds, 2):
        rarer = min(said[one,], said[other,])
        if rarer >= COPY_ITEMS and said[one, other] >= COPY * rarer:
            joined, left = families[one], families[other]
            families = {kind: joined if family == left else family for kind, family in families.items()}
    return families


def family_answers(pattern: Pattern, families: Mapping[str, str], recorded: Collection[str]) -> list[Answer]:
    """The answers of the families, in order; a family of which nothing could be observed gives none. families: of each
    kind. recorded: the kinds whose silence can always be observed."""
    members: dict[str, list[str]] = {}
    for kind, family in sorted(families.items()):
        if kind in recorded or kind not in pattern.unseen:
            members.setdefault(family, []).append(kind)
    said = dict(pattern.votes)
    return [(tuple(kinds), tuple((kind, said[kind]) for kind in kinds if kind in said)) for kinds in members.values()]
