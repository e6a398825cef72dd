"""Repair: requests that failed and were asked again with success, and what the later turn says about the earlier one.

Spans of the later request are projected onto the earlier one. Words are aligned by minimum edits (Wagner and Fischer 1974,
"The string-to-string correction problem"). A deletion costs 1, an insertion costs 1, a substitution costs 2 (1 - r), where r
is the similarity of the two words: nothing where they are equal, little where one was misrecognized. Words with r below one
half are never aligned. That users themselves say what a failed request meant: Ponnusamy et al. 2020, "Feedback-based
self-learning in large-scale conversational AI agents"."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from rapidfuzz.distance import Indel

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.items import Posterior
from labelgen.feedback.signal import concerns_dialogue

REPAIRS = ("rephrase", "correction")
"""Kinds whose evidence is the same request in other words."""

CONFIRMED = 0.6
"""From this posterior of good on, the assistant's hypothesis counts as what was meant; below 1 minus it, as wrong."""

SILENT_GOOD = 0.85
"""Assumed share of repairs without any feedback that succeeded. In simulated logs nine in ten did; real users are more
likely to leave in silence."""

REPEATED = 0.5
"""A later request repeats an earlier one if it has at least this share of its words; "no, the other one" has none."""

Span = tuple[int, int]
"""`[start, end)` in code points of a request."""


@dataclass(frozen=True, slots=True)
class Projection:
    """spans: for each span of the later request its place in the earlier one, None where it has none. shared: 0..1, the
    share of the words of the earlier request that are aligned; 0 where it has no words."""

    spans: tuple[Span | None, ...]
    shared: float

    @property
    def complete(self) -> bool:
        """Whether every span has a place and every word of the earlier request is aligned, so that it names nothing else."""
        return self.shared == 1.0 and None not in self.spans


@dataclass(frozen=True, slots=True)
class Repair:
    """The turn `by` repeated a failed request with success.

    good: posterior that it was served. observed: by signals, and not by silence alone. intents, slots: names, as the
    assistant predicted them at `by`. projection: the place of each slot in the failed request. origin: in words."""

    by: int
    good: float
    observed: bool
    intents: tuple[str, ...]
    slots: tuple[str, ...]
    projection: Projection
    origin: str


def repeats(turn: int, signals: Sequence[Signal]) -> dict[int, str]:
    """The later turns that repeat this turn's request, each with the kind of the signal that says so."""
    return {e: s.kind for s in signals if s.kind in REPAIRS and s.turns == (turn,) for e in s.evidence if e > turn}


def predicted_intents(dialogue: Dialogue, turn: int) -> tuple[str, ...]:
    """The intents that the assistant predicted at a turn."""
    hypothesis = dialogue.turns[turn].hypothesis
    return tuple(dict.fromkeys(intent.name for intent in hypothesis.intents)) if hypothesis else ()


def repair_of(
    dialogue: Dialogue, turn: int, signals: Sequence[Signal], posteriors: Mapping[int, Posterior]
) -> Repair | None:
    """The repair of a failed turn: the first turn that repeats it and was served, or, where a repeat failed too, the repair of
    that one. None where there is none, and where the turn only answered the assistant's question.

    posteriors: of the turns that signals are about. A repair without any signal has SILENT_GOOD."""
    if any(s.explicit and turn in s.evidence and turn not in s.turns for s in signals):
        return None
    with_signals = {t for s in signals if not concerns_dialogue(s, dialogue) for t in s.turns}
    waiting = repeats(turn, signals)
    while waiting:
        by = min(waiting)
        kind = waiting.pop(by)
        posterior = posteriors.get(by)
        if posterior is not None and posterior.good <= 1.0 - CONFIRMED:
            waiting |= repeats(by, signals)
            continue
        observed = by in with_signals
        good = posterior.good if posterior is not None else 0.5 if observed else SILENT_GOOD
        hypothesis, names = dialogue.turns[by].hypothesis, predicted_intents(dialogue, by)
        if good < CONFIRMED or hypothesis is None or not names:
            continue
        spans = [(slot.start, slot.end) for slot in hypothesis.slots or ()]
        projection = project(dialogue.turns[turn].request, dialogue.turns[by].request, spans)
        if projection.shared >= REPEATED:
            outcome = "nobody complained of it" if posterior is None else posterior.origin
            slots = tuple(slot.name for slot in hypothesis.slots or ())
            origin = f"projected from the {kind} at turn {by}, {outcome}"
            return Repair(by, good, observed, names, slots, projection, origin)
    return None


_EDIT = 1000
"""Cost of a deletion. Costs are whole numbers, so that sums of them can be equal."""

_LEAST_SIMILAR = 0.5


def project(before: str, after: str, spans: Sequence[Span]) -> Projection:
    """Spans of the later request `after` as spans of the earlier request `before`.

    The place of a span reaches from the word aligned with its first to the word aligned with its last. A span has no place
    if one of its words is not aligned, or if it cuts through a word."""
    old, new = words(before), words(after)
    aligned = dict(align([before[a:b] for a, b in old], [after[a:b] for a, b in new]))
    opens = {start: k for k, (start, _) in enumerate(new)}
    closes = {end: k for k, (_, end) in enumerate(new)}
    places: list[Span | None] = []
    for start, end in spans:
        first, last = opens.get(start), closes.get(end)
        if first is None or last is None or not first <= last or any(k not in aligned for k in range(first, last + 1)):
            places.append(None)
        else:
            places.append((old[aligned[first]][0], old[aligned[last]][1]))
    return Projection(tuple(places), len(aligned) / len(old) if old else 0.0)


def align(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Align words at the least cost: pairs (index in after, index in before), both ascending. Of several such alignments, the
    one that pairs the last words, then deletes words of `before`."""
    swap = [[swap_cost(word, other) for other in after] for word in before]
    # cost[i][j]: to make the first j words of `after` from the first i words of `before`.
    cost = [[_EDIT * (i + j) for j in range(len(after) + 1)] for i in range(len(before) + 1)]
    for i, row in enumerate(swap):
        for j, swapped in enumerate(row):
            cost[i + 1][j + 1] = min(cost[i][j] + swapped, cost[i][j + 1] + _EDIT, cost[i + 1][j] + _EDIT)
    pairs = []
    i, j = len(before), len(after)
    while i and j:
        swapped = swap[i - 1][j - 1]
        if swapped < 2 * _EDIT and cost[i][j] == cost[i - 1][j - 1] + swapped:
            i, j = i - 1, j - 1
            pairs.append((j, i))
        elif cost[i][j] == cost[i - 1][j] + _EDIT:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def swap_cost(word: str, other: str) -> int:
    """Cost of a substitution, in thousandths of a deletion."""
    share = similarity(word, other)
    return round(2 * _EDIT * (1.0 - share)) if share >= _LEAST_SIMILAR else 2 * _EDIT


def similarity(word: str, other: str) -> float:
    """Normalized Indel similarity, 0..1: the longest common subsequence of letters as a share of all; case does not matter."""
    return Indel.normalized_similarity(word.casefold(), other.casefold())


def words(text: str) -> list[Span]:
    """The words of a text: runs of letters, digits and marks; any other visible character is one by itself."""
    spans: list[Span] = []
    for kind, run in groupby(range(len(text)), key=lambda k: _kind(text[k])):
        places = list(run)
        if kind == "word":
            spans.append((places[0], places[-1] + 1))
        elif kind == "sign":
            spans += [(k, k + 1) for k in places]
    return spans


def _kind(character: str) -> Literal["word", "sign", "space"]:
    if character.isspace():
        return "space"
    return "word" if unicodedata.category(character)[0] in "LMN" else "sign"
