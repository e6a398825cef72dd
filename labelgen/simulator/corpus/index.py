"""What can be looked up in a corpus: what fills a slot, what is answered to an intent, who says the same."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labelgen.simulator.corpus.scripts import Line, Script
from labelgen.simulator.grammar import bare
from labelgen.simulator.meaning import GIVING_UP, Meanings

Key = tuple[tuple[str, ...], tuple[str, ...]]
"""Intents, and the names of the slots said, sorted."""

LIKELY = 3
"""So many other intents is one taken for."""
_TELLING = 60
"""So many words tell an intent from others."""


@dataclass(frozen=True, slots=True)
class Index:
    """fillers: slot -> (words, normalized value), each once, in the corpus's order. by_intent: lines with that intent.
    alike: lines with the same intents and slots, only those with slots. vocabulary: words of requests, at least twice
    said, most frequent first. capitals: requests are written with capitals and stops."""

    fillers: Mapping[str, Sequence[tuple[str, str]]]
    by_intent: Mapping[str, Sequence[Line]]
    alike: Mapping[Key, Sequence[Line]]
    vocabulary: Sequence[str]
    capitals: bool


def key_of(intents: tuple[str, ...], slots: Iterable[str]) -> Key:
    return intents, tuple(sorted(slots))


def index_of(scripts: Iterable[Script]) -> Index:
    fillers: dict[str, dict[tuple[str, str], None]] = {}
    by_intent: dict[str, list[Line]] = {}
    alike: dict[Key, list[Line]] = {}
    words: Counter[str] = Counter()
    capitals = requests = 0
    for script in scripts:
        for line in script.lines:
            requests += bool(line.request)
            capitals += line.request[:1].isupper()
            words.update(words_of(line.request))
            for intent in line.intents:
                by_intent.setdefault(intent, []).append(line)
            for (name, said), (*_, value) in zip(line.said(), line.slots, strict=True):
                fillers.setdefault(name, {})[said, value] = None
            if line.slots:
                alike.setdefault(key_of(line.intents, (slot[0] for slot in line.slots)), []).append(line)
    often = [word for word, count in words.most_common() if count > 1]
    return Index(
        fillers={name: tuple(found) for name, found in fillers.items()},
        by_intent=by_intent,
        alike=alike,
        vocabulary=often,
        capitals=2 * capitals > requests,
    )


def meanings_of(index: Index) -> Meanings:
    """The corpus's intents and slots, and the one by which users give up. An intent is taken for those that are asked for
    in the most similar words: by the cosine of how often each word is said, rare ones counting more."""
    told = {name: _telling(lines) for name, lines in sorted(index.by_intent.items())}
    holding = Counter(word for words in told.values() for word in words)
    weights = {
        name: _unit({word: count * math.log(1.0 + len(told) / holding[word]) for word, count in words.items()})
        for name, words in told.items()
    }
    others = {
        name: tuple(sorted((o for o in weights if o != name), key=lambda o: (-_cosine(weights[name], weights[o]), o)))
        for name in weights
    }
    likely = {name: found[:LIKELY] for name, found in others.items()}
    likely.setdefault(GIVING_UP, tuple(weights)[:LIKELY])
    return Meanings(tuple(sorted(likely)), tuple(sorted(index.fillers)), likely)


def words_of(text: str) -> list[str]:
    """Lower-case words without the stops around them."""
    return [core for word in text.lower().split() for core in [bare(word)[1]] if core[0].isalnum()]


def swap(text: str, old: Iterable[str], new: str) -> str | None:
    """The text with the first of the old words that stands in it, wherever it does, replaced; None where none stands in it."""
    for words in old:
        found, count = re.subn(rf"(?<!\w){re.escape(words)}(?!\w)", lambda _: new, text, flags=re.IGNORECASE)
        if count:
            return found
    return None


def _telling(lines: Sequence[Line]) -> dict[str, int]:
    return dict(Counter(word for line in lines for word in words_of(line.request)).most_common(_TELLING))


def _unit(weights: Mapping[str, float]) -> dict[str, float]:
    norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / norm for word, weight in weights.items()}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(weight * other[word] for word, weight in one.items() if word in other)
