"""Dialogues put together so that it is known which turns serve which goal: each dialogue is one goal, though nobody
labeled it. In life users go back and forth between goals, take them one after the other, or have one only, and a model
must see all three: from interleaved dialogues alone it would learn that there are always several goals.

Times are dropped everywhere, since clocks would give the seams away, and sound with them: a path to sound starts from the
folder of the turn's own log, and a made dialogue has one folder only. Were just the other dialogues' sound dropped,
having sound would tell whose turn it is."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Target
from labelgen.data.labels import GOALS, AtDialogue, AtGoal
from labelgen.pretraining.corruption import NEGATIVES, Pool, bare, timeless

LONGEST_RUN = 4
"""Most turns that one dialogue goes on for before another takes over."""

Corrupted = tuple[Dialogue, tuple[Target, ...]]


def splice(dialogue: Dialogue, pool: Pool, rng: Random) -> Corrupted:
    """Two or three dialogues, interleaved in runs of one to four turns: each is one goal, and these are all the goals."""
    return _put_together(_parts(dialogue, pool, rng), rng, "splice")


def in_line(dialogue: Dialogue, pool: Pool, rng: Random) -> Corrupted:
    """Two or three dialogues, one after the other. Of each, half of the time, some first and last turns are missing: who
    goes on to another goal seldom says goodbye and hello in between."""
    parts = [_excerpt(part, rng) for part in _parts(dialogue, pool, rng)]
    rng.shuffle(parts)
    return _annotated(parts, [p for p, part in enumerate(parts) for _ in part.turns], "line")


def whole(dialogue: Dialogue, pool: Pool, rng: Random) -> Corrupted:
    """The dialogue as it was, as one goal."""
    return _annotated([dialogue], [0] * len(dialogue.turns), "whole")


def interleaved(lengths: Sequence[int], rng: Random) -> list[int]:
    """Which part each turn is of, when parts of these lengths take turns in runs of one to four, each in its order."""
    left = list(lengths)
    order: list[int] = []
    while any(left):
        p = rng.choice([p for p, count in enumerate(left) if count])
        run = min(left[p], rng.randint(1, LONGEST_RUN))
        order += [p] * run
        left[p] -= run
    return order


def put_together(parts: Sequence[Dialogue], order: Sequence[int]) -> tuple[Dialogue, list[tuple[int, ...]]]:
    """One dialogue of the turns of all parts, and the turns of each goal in the order of their first ones.

    order: for each turn the part that it is taken from; each part is used up in its own order."""
    taken = [iter(part.turns) for part in parts]
    turns = [replace(timeless(next(taken[p])), audio=None) for p in order]
    goals = sorted(tuple(t for t, own in enumerate(order) if own == p) for p in {*order})
    return bare(parts[0], "+".join(part.id for part in parts), turns), goals


def _put_together(parts: Sequence[Dialogue], rng: Random, kind: str) -> Corrupted:
    return _annotated(parts, interleaved([len(part.turns) for part in parts], rng), kind)


def _annotated(parts: Sequence[Dialogue], order: Sequence[int], kind: str) -> Corrupted:
    made, goals = put_together(parts, order)
    origin = f"{kind} of {len(parts)} dialogues"
    targets = [Target(GOALS, AtGoal(goal), (("goal", 1.0),), origin=origin) for goal in goals]
    return made, (*targets, Target(GOALS, AtDialogue(), (), origin=origin))


def _parts(dialogue: Dialogue, pool: Pool, rng: Random) -> list[Dialogue]:
    parts = [dialogue]
    for _ in range(rng.choice((1, 2))):
        other = pool.other(rng.choice(NEGATIVES), parts, rng)
        if other is not None:
            parts.append(other)
    return parts


def _excerpt(dialogue: Dialogue, rng: Random) -> Dialogue:
    if rng.random() < 0.5:
        return dialogue
    count = len(dialogue.turns)
    first = rng.randint(0, min(2, (count - 1) // 2)) if count else 0
    last = count - rng.randint(0, min(2, (count - 1) // 2)) if count else 0
    return replace(dialogue, turns=dialogue.turns[first:last])
