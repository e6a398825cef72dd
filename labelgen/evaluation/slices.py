"""Parts of a log that are judged apart: which slice each judged field is in, by any field of the record.

A field of the turns is read at the turns that an answer is about: its turn, the turns of its goal, or all. Of words the one
that most of these turns have counts, of numbers their mean; numbers are cut into quarters of the judged fields."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from labelgen.base.registry import require
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.extra import extra
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn, Label, division

LEAST_DIALOGUES = 5
"""A smaller slice joins OTHER, and is left out where that stays as small: its interval would say nothing."""

OTHER = "(others)"

ALWAYS = ("source", "device", "locale", "domain", "length", "interleaved", "asr_confidence")
"""What is looked at unasked, where the log has it."""

PROBABILITY = "probability"
"""Slices by how sure the first candidate is of its own answer: of the least sure label of a field."""

_OF_DIALOGUE = ("user", "locale", "device", "source")
_OF_TURN = ("domain", "status", "asr_confidence", "nlu_confidence")
_LENGTHS = ((1, 4), (5, 9), (10, 19))
_QUARTERS = 4
_WHOLE = AtDialogue()

Value = str | float | None
Judged = tuple[Dialogue, At, tuple[Label, ...]]
"""A judged field: its dialogue, its place, and what the first candidate says there."""


def _length(dialogue: Dialogue, reference: str) -> str | None:
    turns = len(dialogue.turns)
    for low, high in _LENGTHS:
        if low <= turns <= high:
            return f"{low} to {high} turns"
    return f"{_LENGTHS[-1][1] + 1} turns or more" if turns else None


def _interleaved(dialogue: Dialogue, reference: str) -> str | None:
    """Whether a goal is taken up again after another one, by the reference."""
    annotation = dialogue.annotation(reference)
    goals = None if annotation is None else division(annotation)
    if goals is None:
        return None
    members = [label.at.turns for label in goals if isinstance(label.at, AtGoal)]
    resumed = any(a[0] < turn < a[-1] for a in members for b in members if a is not b for turn in b)
    return "a goal is resumed after another" if resumed else "one goal after the other"


_DERIVED: Mapping[str, Callable[[Dialogue, str], str | None]] = {"length": _length, "interleaved": _interleaved}

OF_LOGS = (*_OF_DIALOGUE, "domain", *_DERIVED)
"""What a whole dialogue has one word for."""


def known_fields(dialogues: Iterable[Dialogue]) -> set[str]:
    """Every name that dialogues can be sliced by: those of the record, and the features and other fields that some hold."""
    names = {*_DERIVED, *_OF_DIALOGUE, *_OF_TURN, PROBABILITY}
    for dialogue in dialogues:
        names.update(extra(dialogue))
        for turn in dialogue.turns:
            names.update(x.name for x in turn.categories)
            names.update(x.name for x in turn.numbers)
            names.update(extra(turn))
    return names


def check_fields(dialogues: Iterable[Dialogue], asked: Iterable[str]) -> None:
    """Raises UsageError for a name that no dialogue has."""
    known = known_fields(dialogues) if (asked := tuple(asked)) else set()
    for name in asked:
        require(name, known, "field to slice by")


def value_of(dialogue: Dialogue, by: str, reference: str, at: At = _WHOLE, said: Sequence[Label] = ()) -> Value:
    """What a field of the record holds where an answer stands; None where it holds nothing there."""
    if by in _DERIVED:
        return _DERIVED[by](dialogue, reference)
    if by == PROBABILITY:
        sure = [label.probability for label in said if label.probability is not None]
        return min(sure) if sure else None
    if by in _OF_DIALOGUE:
        held: Value = getattr(dialogue, by)
        return held
    turns = _turns(dialogue, at)
    found = [x for turn in turns if (x := _of_turn(turn, by)) is not None]
    if not found:
        return _plain(extra(dialogue).get(by))
    numbers = [x for x in found if isinstance(x, float)]
    if len(numbers) == len(found):
        return sum(numbers) / len(numbers)
    words = Counter(map(str, found))
    return min(words, key=lambda word: (-words[word], word))


def _turns(dialogue: Dialogue, at: At) -> Sequence[Turn]:
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return (dialogue.turns[turn],)
        case AtGoal(turns):
            return [dialogue.turns[turn] for turn in turns]
        case AtDialogue():
            return dialogue.turns


def _of_turn(turn: Turn, by: str) -> Value:
    if by in _OF_TURN:
        held: Value = getattr(turn, by)
        return held
    features: Mapping[str, Value] = {x.name: x.value for x in turn.numbers} | {x.name: x.value for x in turn.categories}
    return features[by] if by in features else _plain(extra(turn).get(by))


def _plain(value: object) -> Value:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return float(value)
    return value if isinstance(value, str) else None


def slices(fields: Sequence[Judged], by: str, reference: str) -> dict[str, NDArray[np.int64]]:
    """name -> places of the fields in it, ascending; empty where all of them fall into one slice."""
    values = [value_of(dialogue, by, reference, at, said) for dialogue, at, said in fields]
    found: dict[str, list[int]] = {}
    for place, name in enumerate(_names(values)):
        if name is not None:
            found.setdefault(name, []).append(place)
    small = [name for name, own in found.items() if len({fields[k][0].id for k in own}) < LEAST_DIALOGUES]
    others = sorted(place for name in small for place in found.pop(name))
    if len({fields[k][0].id for k in others}) >= LEAST_DIALOGUES:
        found[OTHER] = others
    return {name: np.array(own) for name, own in found.items()} if len(found) > 1 else {}


def _names(values: Sequence[Value]) -> list[str | None]:
    """Words as they are; numbers as the quarter they lie in, where there are more of them than quarters."""
    numbers = np.array([x for x in values if isinstance(x, float)])
    if len(np.unique(numbers)) <= _QUARTERS:
        return [f"{x:g}" if isinstance(x, float) else x for x in values]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _QUARTERS + 1), method="higher"))
    ends = _written(edges)
    names = [f"{low} to {high}" for low, high in pairwise(ends)]
    inner = edges[1:-1]
    return [names[int(np.searchsorted(inner, x, "right"))] if isinstance(x, float) else x for x in values]


def _written(edges: NDArray[np.float64]) -> list[str]:
    """With three digits, or as many as tell them apart."""
    tries = ([f"{x:.{digits}g}" for x in edges] for digits in range(3, 18))
    return next(ends for ends in tries if len(set(ends)) == len(ends))
