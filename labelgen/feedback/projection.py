"""Spans of a request carried over to another one that says the same in nearly the same words.

Words are aligned by minimum edits (Wagner and Fischer 1974, "The string-to-string correction problem"). To leave a word
out costs 1, to put one in costs 1. To put a word in another's place costs 2 (1 - r), where r is how alike the two are
(`alike`): nothing where they are equal, little where one was misheard. Words that are less than half alike never stand
for each other. That users themselves say what a failed request meant: Ponnusamy et al. 2020, "Feedback-based
self-learning in large-scale conversational AI agents"."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from rapidfuzz.distance import Indel

Span = tuple[int, int]
"""`[start, end)` in code points of a request."""

_EDIT = 1000
"""What it costs to leave a word out. Costs are whole numbers, so that sums of them can be equal."""

_LEAST_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Projection:
    """spans: for each span of the later request its place in the earlier one, None where it has none. shared: 0..1, the
    share of the words of the earlier request that have their like in the later one; 0 where it has no words."""

    spans: tuple[Span | None, ...]
    shared: float

    @property
    def complete(self) -> bool:
        """Every span has its place and every word of the earlier request its like, so nothing else is named in it."""
        return self.shared == 1.0 and None not in self.spans


def project(before: str, after: str, spans: Sequence[Span]) -> Projection:
    """Spans of the later request `after` as spans of the earlier request `before`.

    The place of a span reaches from the like of its first word to that of its last, so that it begins and ends with a
    word of `before`. A span of which some word has no like there has no place, nor has one that cuts through a word."""
    old, new = words(before), words(after)
    like = dict(align([before[a:b] for a, b in old], [after[a:b] for a, b in new]))
    opens = {start: k for k, (start, _) in enumerate(new)}
    closes = {end: k for k, (_, end) in enumerate(new)}
    found: list[Span | None] = []
    for start, end in spans:
        first, last = opens.get(start), closes.get(end)
        if first is None or last is None or not first <= last or any(k not in like for k in range(first, last + 1)):
            found.append(None)
        else:
            found.append((old[like[first]][0], old[like[last]][1]))
    return Projection(tuple(found), len(like) / len(old) if old else 0.0)


def align(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Which words of `after` stand for which of `before`: pairs (index in after, index in before), both ascending, of an
    alignment of the least cost. Of several such, the one that pairs the last words, then leaves out words of `before`."""
    swap = [[swap_cost(word, other) for other in after] for word in before]
    # cost[i][j]: to make the first j words of `after` from the first i words of `before`.
    cost = [[_EDIT * (i + j) for j in range(len(after) + 1)] for i in range(len(before) + 1)]
    for i, row in enumerate(swap):
        for j, own in enumerate(row):
            cost[i + 1][j + 1] = min(cost[i][j] + own, cost[i][j + 1] + _EDIT, cost[i + 1][j] + _EDIT)
    pairs = []
    i, j = len(before), len(after)
    while i and j:
        own = swap[i - 1][j - 1]
        if own < 2 * _EDIT and cost[i][j] == cost[i - 1][j - 1] + own:
            i, j = i - 1, j - 1
            pairs.append((j, i))
        elif cost[i][j] == cost[i - 1][j] + _EDIT:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def swap_cost(word: str, other: str) -> int:
    """What it costs to put one word in the other's place, in thousandths of leaving one out."""
    share = alike(word, other)
    return round(2 * _EDIT * (1.0 - share)) if share >= _LEAST_ALIKE else 2 * _EDIT


def alike(word: str, other: str) -> float:
    """0..1: the letters that two words have in common in their order, as a share of all; case does not matter."""
    return Indel.normalized_similarity(word.casefold(), other.casefold())


def words(text: str) -> list[Span]:
    """Where the words of a text stand: runs of letters, digits and marks; any other visible character is one by itself."""
    found: list[Span] = []
    for kind, run in groupby(range(len(text)), key=lambda k: _kind(text[k])):
        places = list(run)
        if kind == "word":
            found.append((places[0], places[-1] + 1))
        elif kind == "sign":
            found += [(k, k + 1) for k in places]
    return found


def _kind(character: str) -> Literal["word", "sign", "space"]:
    if character.isspace():
        return "space"
    return "word" if unicodedata.category(character)[0] in "LMN" else "sign"
