"""Words that a model reads as they stand, beside what the text encoder makes of the whole text.

A pooled vector of a frozen encoder tells what a text is about; whether it says "no" or "great", or ends in a question mark, it hardly
tells. Each turn has its distinct words, those of the request apart from those of the response."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labelgen.data.dialogue import Dialogue, Turn

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Words:
    """The words that are read, the most frequent first; those of responses are numbered behind those of requests."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.request) + len(self.response)

    def of(self, turns: Iterable[Turn]) -> list[list[int]]:
        """Of each turn the numbers of its words, ascending."""
        index = {(False, word): k for k, word in enumerate(self.request)}
        index.update({(True, word): len(self.request) + k for k, word in enumerate(self.response)})
        return [sorted(index[key] for key in _keys(turn) if key in index) if index else [] for turn in turns]


def learn_words(dialogues: Iterable[Dialogue], most: int, least: int) -> Words:
    """The `most` most frequent words of requests and of responses together, each in `least` turns or more."""
    if not most:
        return Words()
    counts = Counter(key for dialogue in dialogues for turn in dialogue.turns for key in _keys(turn))
    kept = sorted((key for key, count in counts.items() if count >= least), key=lambda key: (-counts[key], key))[:most]
    return Words(tuple(w for by_assistant, w in kept if not by_assistant), tuple(w for by, w in kept if by))


def _keys(turn: Turn) -> set[tuple[bool, str]]:
    """(of the response, word), lower case; a mark that is no letter stands alone."""
    return {(False, w) for w in words_of(turn.request)} | {(True, w) for w in words_of(turn.response)}


def words_of(text: str) -> Sequence[str]:
    return _WORD.findall(text.lower())
