"""How turns of a dialogue of several people relate: who wrote them, whom they address by name, and when.

The category `speaker` says who wrote a turn's request. A turn reads names of speakers so far only, so later turns change nothing."""

import re
import string
from collections.abc import Iterable, Sequence

import torch

from labelgen.data.dialogue import SPEAKER, Dialogue, Turn
from labelgen.features.layout import Relations

MOST_NAMES = 3
"""Speakers that a turn is taken to address at most, the first ones of its request."""
NEVER = 1 << 30
"""Position of a turn that there is not."""
_LEAST_NAME = 3
"""Characters of a name that is looked for in texts; shorter ones are often words."""
_CALL = re.compile(r"\S{2,}[:,] ")


def relations_of(dialogues: Sequence[Dialogue]) -> Relations:
    """Relations of all turns of the dialogues, in order."""
    rows = [row for dialogue in dialogues for row in _rows(dialogue.turns)]
    return Relations(
        speaker=torch.tensor([row[0] for row in rows], dtype=torch.long),
        addressed=torch.tensor([row[1] for row in rows], dtype=torch.long).view(len(rows), MOST_NAMES),
        calls=torch.tensor([row[2] for row in rows], dtype=torch.bool),
        previous=torch.tensor([row[3] for row in rows], dtype=torch.long),
        following=torch.tensor([row[4] for row in rows], dtype=torch.long),
        time=torch.tensor([row[5] for row in rows], dtype=torch.float32),
    )


_Row = tuple[int, list[int], bool, int, int, float]
"""Values of a turn in the order of Relations."""


def _rows(turns: Sequence[Turn]) -> list[_Row]:
    number: dict[str, int] = {}
    last: dict[int, int] = {}
    known: dict[str, int] = {}
    rows: list[_Row] = []
    for t, turn in enumerate(turns):
        name = next((c.value for c in turn.categories if c.name == SPEAKER), "").casefold()
        speaker = number.setdefault(name, len(number) + 1) if name else 0
        for word in (name, name.strip(string.punctuation)):
            if len(word) >= _LEAST_NAME:
                known.setdefault(word, speaker)
        named = [n for n in dict.fromkeys(_named(turn.request, known)) if n != speaker][:MOST_NAMES] if speaker else []
        calls = bool(speaker) and not named and _CALL.match(turn.request) is not None
        previous = last.get(speaker, -1) if speaker else -1
        if previous >= 0:
            rows[previous] = (*rows[previous][:4], t, rows[previous][5])
        if speaker:
            last[speaker] = t
        time = float("nan") if turn.time_s is None else turn.time_s
        rows.append((speaker, named + [0] * (MOST_NAMES - len(named)), calls, previous, NEVER, time))
    return rows


def _named(text: str, known: dict[str, int]) -> Iterable[int]:
    """Numbers of the speakers whose names are words of the text, with or without the punctuation around them."""
    for word in text.casefold().split():
        for form in (word, word.rstrip(":,"), word.rstrip(string.punctuation), word.strip(string.punctuation)):
            if form in known:
                yield known[form]
                break
