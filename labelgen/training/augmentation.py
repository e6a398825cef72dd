"""Data augmentation of annotated dialogues: joins of two dialogues, and goals with errors of segmentation.

Both are pure functions of their arguments. They come on top of the annotated targets and change none of them."""

from collections.abc import Callable, Sequence
from random import Random

from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import At, AtDialogue, AtGoal, Target, divides, turns_of
from labelgen.pretraining.corruption import without_times

MOST_MOVED = 3
"""Maximum number of turns by which an error of segmentation moves the end of a goal."""
_SAME = 1e-6

Turns = tuple[int, ...]


def join_at_goals(first: Dialogue, second: Dialogue, rng: Random) -> Dialogue | None:
    """Beginning of one dialogue and end of another, cut between goals, with the targets of both.

    In a training log only some topics follow each other, and a goal head learns these pairs. Of joined dialogues any goal may
    follow any other. The cut is after the last turn of a goal and before the first turn of one, so that no greeting shows it,
    and no target's goal lies on both sides. Times are dropped because they would reveal the cut, and so is audio, as in
    pretraining. Targets about the whole dialogue are dropped; that a division into goals is complete is kept.

    Returns None if a dialogue has no goals among its targets, or one of them is divided completely and the other is not."""
    ends, starts = _cuts(first, last=True), _cuts(second, last=False)
    closed = _closed(first)
    if not ends or not starts or abs(_weight(closed) - _weight(_closed(second))) > _SAME:
        return None
    end, start = rng.choice(ends), rng.choice(starts)
    kept = [t for t in first.targets if (place := turns_of(t.at)) is not None and place[-1] < end]
    moved = [
        replace(t, at=_moved(t.at, end - start))
        for t in second.targets
        if (place := turns_of(t.at)) is not None and place[0] >= start
    ]
    turns = (*first.turns[:end], *second.turns[start:])
    return _made(first, second, turns, (*kept, *moved, *closed))


def _goals(dialogue: Dialogue) -> list[Turns]:
    return sorted({t.at.turns for t in dialogue.targets if isinstance(t.at, AtGoal)})


def _closed(dialogue: Dialogue) -> list[Target]:
    """Targets that say that the division into goals is complete."""
    return [t for t in dialogue.targets if divides(t.task) and isinstance(t.at, AtDialogue)]


def _weight(targets: Sequence[Target]) -> float:
    return sum(target.weight for target in targets)


def _made(dialogue: Dialogue, other: Dialogue, turns: Sequence[Turn], targets: Sequence[Target]) -> Dialogue:
    return replace(
        dialogue,
        id=f"{dialogue.id}+{other.id}",
        turns=tuple(replace(without_times(turn), audio=None) for turn in turns),
        feedback=(),
        signals=(),
        targets=tuple(targets),
    )


def _cuts(dialogue: Dialogue, last: bool) -> list[int]:
    """Places between turns that cut no goal of a target: after a goal's last turn, or before its first."""
    goals = _goals(dialogue)
    places = {goal[-1] + 1 if last else goal[0] for goal in goals}
    return sorted(p for p in places if not any(goal[0] < p <= goal[-1] for goal in goals))


def _moved(at: At, by: int) -> At:
    """A place of a dialogue whose turns are moved by so many."""
    if isinstance(at, AtGoal):
        return AtGoal(tuple(turn + by for turn in at.turns))
    return at if isinstance(at, AtDialogue) else replace(at, turn=at.turn + by)


def wrong_goals(dialogue: Dialogue, share: float, rng: Random) -> tuple[Target, ...]:
    """Targets for goals with errors of segmentation: merged, split, with an end moved, or without a turn.

    A model that labels goals which it decodes itself meets such goals, and annotated ones alone do not teach them. Each
    annotated goal takes part with probability `share`. What is known about goals, such as outcomes, becomes a target of the
    wrong goal too, weighted by the overlap (Jaccard index) of the wrong goal and the annotated one. So a goal that covers two
    annotated ones learns the mean of their outcomes by overlap: the probability that the one it stands for failed."""
    about = [t for t in dialogue.targets if isinstance(t.at, AtGoal) and not divides(t.task)]
    goals = sorted({t.at.turns for t in about if isinstance(t.at, AtGoal)})
    known = {t.at.turns for t in dialogue.targets if isinstance(t.at, AtGoal)}
    wrong: dict[tuple[int, ...], None] = {}
    for goal in goals:
        if rng.random() < share:
            made = rng.choice(_ERRORS)(goal, goals, len(dialogue.turns), rng)
            if made and made not in known:
                wrong[made] = None
    return tuple(
        replace(t, at=AtGoal(made), weight=t.weight * overlap, origin=f"goal with errors, {t.origin}")
        for made in wrong
        for t in about
        if (overlap := _jaccard(t.at, made)) > 0
    )


def _jaccard(at: At, turns: Sequence[int]) -> float:
    assert isinstance(at, AtGoal)
    return len({*at.turns} & {*turns}) / len({*at.turns} | {*turns})


def _merged(goal: Turns, goals: Sequence[Turns], count: int, rng: Random) -> Turns:
    others = [other for other in goals if not {*other} & {*goal}]
    return tuple(sorted({*goal, *(rng.choice(others) if others else ())}))


def _part(goal: Turns, goals: Sequence[Turns], count: int, rng: Random) -> Turns:
    place = rng.randint(0, len(goal))
    return goal[:place] if rng.random() < 0.5 else goal[place:]


def _end_moved(goal: Turns, goals: Sequence[Turns], count: int, rng: Random) -> Turns:
    by = rng.randint(1, MOST_MOVED)
    kind = rng.randrange(4)
    if kind == 0:
        return goal[by:]
    if kind == 1:
        return goal[:-by]
    more = range(max(0, goal[0] - by), goal[0]) if kind == 2 else range(goal[-1] + 1, min(count, goal[-1] + 1 + by))
    return tuple(sorted({*goal, *more}))


def _without_turn(goal: Turns, goals: Sequence[Turns], count: int, rng: Random) -> Turns:
    left_out = rng.randrange(len(goal))
    return goal[:left_out] + goal[left_out + 1 :]


_ERRORS: tuple[Callable[[Turns, Sequence[Turns], int, Random], Turns], ...] = (
    _merged,
    _part,
    _end_moved,
    _without_turn,
)
