"""Four people who annotate the simulated log, with set error rates.

Their mistakes are those that people make: a turn put to the neighboring goal, two goals taken for one, a rating off by
one or two, an intent taken for a likely other, a slot overlooked, cut short or misnamed. They err independently of each other
and of how hard a dialogue is, which real annotators do not; so agreement among them shows what it should show, and
says nothing about difficulty."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from labelgen.simulator.marks import Marks, Span, TurnMarks
from labelgen.simulator.meaning import Meanings

PRICE_PER_TURN = 0.06
"""Of one annotator's work, in the simulated log's currency."""


@dataclass(frozen=True, slots=True)
class Person:
    """Rates at carelessness .5. turn_moved: a turn is put to another goal, to none, or to one of its own.
    goals_merged: two neighboring goals of a dialogue are taken for one. outcome: flipped. quality: a rating is off by
    one, a third of the time by two. intent: confused, left out or added, a turn. slot: missed, misnamed or with a wrong border, a slot; also made
    up, at a quarter of the rate, a turn without slots."""

    name: str
    turn_moved: float
    goals_merged: float
    outcome: float
    quality: float
    intent: float
    slot: float


PEOPLE = (
    Person("anna", turn_moved=0.02, goals_merged=0.03, outcome=0.09, quality=0.24, intent=0.07, slot=0.08),
    Person("ben", turn_moved=0.028, goals_merged=0.05, outcome=0.11, quality=0.30, intent=0.09, slot=0.10),
    Person("cleo", turn_moved=0.025, goals_merged=0.05, outcome=0.12, quality=0.26, intent=0.11, slot=0.09),
    Person("dan", turn_moved=0.033, goals_merged=0.06, outcome=0.13, quality=0.33, intent=0.12, slot=0.13),
)


def look(
    person: Person, truth: Marks, requests: Sequence[str], meanings: Meanings, carelessness: float, rng: Random
) -> Marks:
    """What that person makes of a dialogue whose truth is given. Carelessness 0 gives the truth back."""
    factor = 2.0 * carelessness
    return Marks(
        goals=_goals(person, truth, len(requests), factor, rng),
        overall=_rating(truth.overall, person.quality * factor, rng),
        turns=tuple(
            _turn(person, turn, text, meanings, factor, rng) for turn, text in zip(truth.turns, requests, strict=True)
        ),
    )


def _goals(
    person: Person, truth: Marks, count: int, factor: float, rng: Random
) -> tuple[tuple[tuple[int, ...], str], ...]:
    outcomes = [outcome for _, outcome in truth.goals]
    goal_of: list[int | None] = [None] * count
    for goal, (turns, _) in enumerate(truth.goals):
        for turn in turns:
            goal_of[turn] = goal
    if len(outcomes) > 1 and rng.random() < person.goals_merged * factor:
        lost = 1 + int(rng.random() * (len(outcomes) - 1))
        goal_of = [lost - 1 if g == lost else g for g in goal_of]
    for turn in range(count):
        if rng.random() < person.turn_moved * factor:
            _move(turn, goal_of, outcomes, rng)
    found: dict[int, list[int]] = {}
    for turn, g in enumerate(goal_of):
        if g is not None:
            found.setdefault(g, []).append(turn)
    return tuple((tuple(turns), _outcome(person, outcomes[g], factor, rng)) for g, turns in found.items())


def _move(turn: int, goal_of: list[int | None], outcomes: list[str], rng: Random) -> None:
    """Put a turn to the goal of a turn beside it if that is another one, else to none or to a goal of its own."""
    beside = [goal_of[k] for k in (turn - 1, turn + 1) if 0 <= k < len(goal_of) and goal_of[k] != goal_of[turn]]
    if beside:
        goal_of[turn] = beside[int(rng.random() * len(beside))]
    elif goal_of[turn] is not None and rng.random() < 0.4:
        goal_of[turn] = None
    else:
        outcomes.append("success")
        goal_of[turn] = len(outcomes) - 1


def _outcome(person: Person, outcome: str, factor: float, rng: Random) -> str:
    if rng.random() < person.outcome * factor:
        return "failure" if outcome == "success" else "success"
    return outcome


def _rating(rating: int, rate: float, rng: Random) -> int:
    if rng.random() >= rate:
        return rating
    by = 1 if rng.random() < 0.65 else 2
    shifted = rating + (by if rng.random() < 0.5 else -by)
    return shifted if 1 <= shifted <= 5 else 2 * rating - shifted


def _turn(person: Person, truth: TurnMarks, request: str, meanings: Meanings, factor: float, rng: Random) -> TurnMarks:
    intents = truth.intents
    if rng.random() < person.intent * factor:
        intents = _other_intents(intents, meanings, rng)
    slots = _slots(person, truth.slots, request, meanings.slots, factor, rng)
    quality = None if truth.quality is None else _rating(truth.quality, person.quality * factor, rng)
    return TurnMarks(intents, slots, quality)


def _other_intents(intents: tuple[str, ...], meanings: Meanings, rng: Random) -> tuple[str, ...]:
    if not intents:
        return (meanings.intents[int(rng.random() * len(meanings.intents))],)
    k = int(rng.random() * len(intents))
    if rng.random() < 0.2:
        return intents[:k] + intents[k + 1 :]
    others = [name for name in meanings.others[intents[k]] if name not in intents]
    if not others:
        return intents[:k] + intents[k + 1 :]
    other = others[int(rng.random() * len(others))]
    if rng.random() < 0.15:
        return (*intents, other)
    return (*intents[:k], other, *intents[k + 1 :])


def _slots(
    person: Person, truth: tuple[Span, ...], request: str, names: tuple[str, ...], factor: float, rng: Random
) -> tuple[Span, ...]:
    rate = person.slot * factor
    if not truth:
        if request and names and rng.random() < rate / 4:
            words = request.split(" ")
            k = int(rng.random() * len(words))
            start = sum(len(word) + 1 for word in words[:k])
            return ((names[int(rng.random() * len(names))], start, start + len(words[k]), words[k]),)
        return ()
    kept: list[Span] = []
    for k, (name, start, end, value) in enumerate(truth):
        if rng.random() >= rate:
            kept.append((name, start, end, value))
            continue
        kind = rng.random()
        if kind < 0.4:
            continue
        if kind < 0.7:
            low = truth[k - 1][2] if k else 0
            high = truth[k + 1][1] if k + 1 < len(truth) else len(request)
            start, end = _other_border(start, end, request, low, high)
            kept.append((name, start, end, request[start:end]))
        else:
            others = [other for other in names if other != name] or [name]
            kept.append((others[int(rng.random() * len(others))], start, end, value))
    return tuple(kept)


def _other_border(start: int, end: int, request: str, low: int, high: int) -> tuple[int, int]:
    """One word less at the left, else one word more at the left or right, within `[low, high)`."""
    inside = request[start:end].find(" ")
    if inside > 0:
        return start + inside + 1, end
    before = request[low:start].rstrip()
    if before and start > 0 and low + len(before) < start:
        return low + before.rfind(" ") + 1, end
    after = request[end:high].split()
    if after:
        at = request.index(after[0], end)
        return start, at + len(after[0])
    return start, end
