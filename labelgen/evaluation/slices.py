"""Parts of a log that are judged apart."""

from collections import Counter
from collections.abc import Callable, Mapping

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, division

LEAST_DIALOGUES = 5
"""A smaller slice joins OTHER, and is left out where that stays as small: its interval would say nothing."""

OTHER = "(others)"

_LENGTHS = ((1, 4), (5, 9), (10, 19))

SliceOf = Callable[[Dialogue, str], str | None]
"""The slice that a dialogue belongs to, given the annotator who is the reference; None for no slice."""


def _length(dialogue: Dialogue, reference: str) -> str | None:
    turns = len(dialogue.turns)
    for low, high in _LENGTHS:
        if low <= turns <= high:
            return f"{low} to {high} turns"
    return f"{_LENGTHS[-1][1] + 1} turns or more" if turns else None


def _domain(dialogue: Dialogue, reference: str) -> str | None:
    """The domain of most turns; the first by name of several."""
    domains = Counter(turn.domain for turn in dialogue.turns if turn.domain is not None)
    return min(domains, key=lambda name: (-domains[name], name)) if domains else None


def _interleaved(dialogue: Dialogue, reference: str) -> str | None:
    """Whether a goal is taken up again after another one, by the reference."""
    annotation = dialogue.annotation(reference)
    goals = None if annotation is None else division(annotation)
    if goals is None:
        return None
    members = [label.at.turns for label in goals if isinstance(label.at, AtGoal)]
    resumed = any(a[0] < turn < a[-1] for a in members for b in members if a is not b for turn in b)
    return "a goal is resumed after another" if resumed else "one goal after the other"


SLICES: Mapping[str, SliceOf] = {
    "source": lambda dialogue, reference: dialogue.source,
    "device": lambda dialogue, reference: dialogue.device,
    "domain": _domain,
    "length": _length,
    "interleaved": _interleaved,
}


def slices(dialogues: Mapping[int, Dialogue], by: str, reference: str) -> dict[str, set[int]]:
    """name -> positions of the dialogues, by name; empty where all of them fall into one slice."""
    found: dict[str, set[int]] = {}
    for place, dialogue in dialogues.items():
        name = SLICES[by](dialogue, reference)
        if name is not None:
            found.setdefault(name, set()).add(place)
    small = [name for name, places in found.items() if len(places) < LEAST_DIALOGUES]
    others = set().union(*(found.pop(name) for name in small))
    if len(others) >= LEAST_DIALOGUES:
        found[OTHER] = others
    return dict(sorted(found.items())) if len(found) > 1 else {}
