"""Goals as tracks beside the turns of a dialogue: which track, which turn, which letter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from labelgen.data.labels import Annotation, AtGoal, division


@dataclass(frozen=True, slots=True)
class Goal:
    """The turns of one goal; letter: its name within the dialogue; number: the same as a number from 0."""

    turns: tuple[int, ...]
    number: int
    letter: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What one track shows beside one turn.

    serves: the turn belongs to the goal; passes: the goal was begun and comes back later; free: no goal here."""

    state: Literal["serves", "passes", "free"]
    goal: Goal | None = None
    first: bool = False
    last: bool = False


Track = tuple[Cell, ...]


def letter(number: int) -> str:
    """A to Z, then A1 to Z1, and so on."""
    rest, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(rest) if rest else "")


def pair(reference: Annotation | None, candidate: Annotation | None) -> tuple[tuple[Goal, ...], tuple[Goal, ...]]:
    """The goals of both, ordered by their first turns; goals that share most turns share a letter.

    Equal goals are paired first, then by the number of common turns, ties to the earlier goal."""
    ours, theirs = _goals(reference), _goals(candidate)
    common = sorted(
        (-len(set(a) & set(b)) - (a == b) * len(a), i, j)
        for i, a in enumerate(ours)
        for j, b in enumerate(theirs)
        if set(a) & set(b)
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in common:
        if i not in taken and j not in partner:
            partner[j] = i
            taken.add(i)
    fresh = len(ours)
    named = []
    for j, turns in enumerate(theirs):
        own = partner.get(j)
        if own is None:
            own, fresh = fresh, fresh + 1
        named.append(Goal(turns, own, letter(own)))
    return tuple(Goal(turns, i, letter(i)) for i, turns in enumerate(ours)), tuple(named)


def _goals(annotation: Annotation | None) -> list[tuple[int, ...]]:
    """The goals it names; where it does not divide the dialogue itself, those that its other labels are about."""
    if annotation is None:
        return []
    divided = division(annotation)
    labels = annotation.labels if divided is None else divided
    return sorted({x.at.turns for x in labels if isinstance(x.at, AtGoal) and x.at.turns})


def tracks(goals: Sequence[Goal], turns: int) -> tuple[Track, ...]:
    """As few tracks as needed: a goal takes the first one that is free from its first turn to its last.

    Each track has one cell for each of the `turns` turns."""
    rows: list[list[Cell]] = []
    for goal in sorted(goals, key=lambda g: g.turns):
        first, last = goal.turns[0], goal.turns[-1]
        row = next((r for r in rows if all(c.state == "free" for c in r[first : last + 1])), None)
        if row is None:
            row = [Cell("free")] * turns
            rows.append(row)
        for turn in range(first, last + 1):
            state: Literal["serves", "passes"] = "serves" if turn in goal.turns else "passes"
            row[turn] = Cell(state, goal, turn == first, turn == last)
    return tuple(tuple(row) for row in rows)
