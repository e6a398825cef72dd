"""Topic shifts between turns by TextTiling, from words alone.

Source: Hearst 1997, "TextTiling: Segmenting Text into Multi-paragraph Subtopic Passages", with turns as the units."""

import math
from collections import Counter
from functools import cache, lru_cache

from labelgen.data.dialogue import Dialogue
from labelgen.feedback.phrases import plain

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
