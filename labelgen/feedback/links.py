"""Links and cuts between turns: whether two turns serve one goal, from what users do and from the words of both sides.

These are must-link and cannot-link constraints, each with the probability that it is right (Wagstaff et al. 2001, "Constrained
K-means Clustering with Background Knowledge"). A correction, a repeated request, an answer to the assistant's question and a
farewell go on with the goal. A request in other words begins another one after thanks, an offer of more help, a question that
was left, or a long gap.

Topic shifts by TextTiling, from words alone, with turns as the units: Hearst 1997, "TextTiling: Segmenting Text into Multi-paragraph Subtopic
Passages"."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import (
    asks_for_detail,
    gap_s,
    gives_up,
    is_closing,
    limits_s,
    only_takes_leave,
    plain,
    takes_leave,
)
from labelgen.feedback.items import domain_of

BLOCK_TURNS = 2
"""Turns on each side of a gap whose words are compared."""
_LEAST_LETTERS = 3


def topic_depths(dialogue: Dialogue) -> list[float]:
    """Depth score of the gap before each turn but the first: how much less alike the words of both sides are than at the
    peaks around, 0..2."""
    turns = [_words(f"{turn.request} {turn.response}") for turn in dialogue.turns]
    alike = [
        _cosine(
            sum(turns[max(0, t - BLOCK_TURNS) : t], Counter[str]()), sum(turns[t : t + BLOCK_TURNS], Counter[str]())
        )
        for t in range(1, len(turns))
    ]
    return [_peak(alike[: gap + 1][::-1]) + _peak(alike[gap:]) - 2.0 * value for gap, value in enumerate(alike)]


def topic_shifts(dialogue: Dialogue) -> list[bool]:
    """For the gap before each turn but the first, whether it is deeper than the mean of the dialogue."""
    depths = topic_depths(dialogue)
    mean = sum(depths) / max(1, len(depths))
    return [depth > mean for depth in depths]


def _peak(values: list[float]) -> float:
    """The value at the end of the climb that begins at the first."""
    peak = values[0]
    for value in values[1:]:
        if value < peak:
            break
        peak = value
    return peak


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    lengths = math.hypot(*a.values()) * math.hypot(*b.values())
    return sum(count * b[word] for word, count in a.items()) / lengths if lengths else 0.0


@lru_cache(maxsize=4096)
def _words(text: str) -> Counter[str]:
    """Words with content; do not change the counter."""
    return Counter(word for word in plain(text).split() if len(word) >= _LEAST_LETTERS and word not in _little_words())


@cache
def _little_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


LINK_PRECISION: Mapping[str, float] = {
    "correction": 0.9,
    "rephrase": 0.9,
    "answer to a question": 0.95,
    "farewell": 0.9,
}
"""kind of a link -> assumed share that is right, near the shares in SGD and MultiWOZ."""

CUT_PRECISION: Mapping[str, float] = {
    "other domain": 0.85,
    "other topic after thanks": 0.5,
    "other topic after success": 0.5,
    "other topic after a question that was left": 0.5,
    "other topic after a long gap": 0.5,
}
"""kind of a cut -> assumed share that is right. A half is far above the share of all turns that begin a goal, about a tenth."""

_LEAST_WORDS = 4
"""Words of a request that may open a goal."""


@dataclass(frozen=True, slots=True)
class GoalLink:
    """Whether two turns serve one goal. earlier, later: the turns. same: probability that they do. kind: key of
    LINK_PRECISION or CUT_PRECISION."""

    earlier: int
    later: int
    same: float
    kind: str


def goal_links(dialogue: Dialogue, signals: Sequence[Signal]) -> Iterator[GoalLink]:
    """Links and cuts of a dialogue, by the later turn: at most one for each turn and the turn before it, and a link for each
    correction and repeated request. signals: those of the dialogue."""
    repaired = {
        (s.turns[-1], s.evidence[0]): s.kind for s in signals if s.kind in LINK_PRECISION and s.turns and s.evidence
    }
    shifts = topic_shifts(dialogue)
    for later in range(1, len(dialogue.turns)):
        links = [(earlier, kind) for (earlier, then), kind in repaired.items() if then == later and earlier < later]
        for earlier, kind in links:
            yield GoalLink(earlier, later, LINK_PRECISION[kind], kind)
        if any(earlier == later - 1 for earlier, _ in links):
            continue
        if kind := _cut(dialogue, signals, later, shifts[later - 1]):
            yield GoalLink(later - 1, later, 1.0 - CUT_PRECISION[kind], kind)
        elif kind := _link(dialogue, later):
            yield GoalLink(later - 1, later, LINK_PRECISION[kind], kind)


def _cut(dialogue: Dialogue, signals: Sequence[Signal], later: int, shifts: bool) -> str:
    """Kind of the cut before a turn; empty where there is none. shifts: the topic changes."""
    before, turn, locale = dialogue.turns[later - 1], dialogue.turns[later], dialogue.locale
    domains = domain_of(before), domain_of(turn)
    if None not in domains and domains[0] != domains[1]:
        return "other domain"
    if not shifts or plain(turn.request).count(" ") + 1 < _LEAST_WORDS or only_takes_leave(turn.request, locale):
        return ""
    about = {(s.kind, s.vote) for s in signals if s.turns and s.turns[-1] == later - 1}
    gap = gap_s(before, turn)
    if ("abandonment", "bad") in about or gives_up(before.request, locale):
        return "other topic after a question that was left"
    if gap is not None and gap > limits_s(dialogue)[0]:
        return "other topic after a long gap"
    if asks_for_detail(before, locale):
        return ""
    if takes_leave(turn.request, locale) or takes_leave(before.request, locale) or is_closing(before.response, locale):
        return "other topic after thanks"
    return "other topic after success" if any(vote == "good" for _, vote in about) else ""


def _link(dialogue: Dialogue, later: int) -> str:
    """Kind of the link of a turn to the turn before it; empty where there is none."""
    turn = dialogue.turns[later]
    if not turn.request:
        return ""
    if asks_for_detail(dialogue.turns[later - 1], dialogue.locale):
        return "answer to a question"
    return "farewell" if only_takes_leave(turn.request, dialogue.locale) else ""
