"""Simulated annotators: four people label the log with known error rates.

Their errors are those of people: a turn moved to the neighboring goal, two goals merged, a rating off by one or two, an intent
confused with a likely other, a slot missed, cut short or misnamed. Errors are independent between annotators and of a
dialogue's difficulty, unlike those of real annotators. So inter-annotator agreement behaves as expected here, and says nothing
about difficulty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel, quality_name
from labelgen.simulator.vocabulary import INTENTS, LIKELY_OTHERS, SLOTS

_INTENTS, _SLOTS = tuple(INTENTS), tuple(SLOTS)
CAUSES = ("wake", "recognition", "understanding", "entity", "result", "out_of_scope")
CALL_CAUSES = ("tool_error", "wrong_tool", "wrong_argument", "ignored_result", "loop", "understanding", "out_of_scope")
"""Names of the task cause that the failure of a simulated goal may have, and those of an agent's goal."""
Span = tuple[str, int, int, str]
"""Slot name, start, end, value."""


@dataclass(frozen=True, slots=True)
class TurnMarks:
    """One annotator's view of a turn. quality: 1..5, None if the turn has no request. cause: name of the task cause; None in no goal, or
    where nobody was asked. step: the wrong one, in words."""

    intents: tuple[str, ...]
    slots: tuple[Span, ...]
    quality: int | None
    cause: str | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """One annotator's view of a dialogue. goals: (turns, outcome), by their first turn. overall: quality of the dialogue, 1..5."""

    goals: tuple[tuple[tuple[int, ...], str], ...]
    overall: int
    turns: tuple[TurnMarks, ...]


def annotate(marks: Marks, annotator: str, kind: str, price: float | None = None) -> Annotation:
    """The view as an annotation: every field has an answer, in the order of the record."""
    labels: list[Label] = []
    none: list[NoLabel] = [] if marks.goals else [NoLabel(GOALS, AtDialogue())]
    for turns, outcome in marks.goals:
        labels.append(Label(GOALS, AtGoal(turns), "goal"))
        labels.append(Label("outcome", AtGoal(turns), outcome))
    labels.append(_rating(AtDialogue(), marks.overall))
    for k, turn in enumerate(marks.turns):
        if turn.quality is not None:
            labels.append(_rating(AtTurn(k), turn.quality))
        if turn.cause is not None:
            labels.append(Label("cause", AtTurn(k), turn.cause, None, turn.step))
        labels += [Label("intents", AtTurn(k), name) for name in turn.intents]
        labels += [Label("slots", AtSpan(k, start, end), name, None, value) for name, start, end, value in turn.slots]
        none += [NoLabel(task, AtTurn(k)) for task in ("intents", "slots") if not getattr(turn, task)]
    return Annotation(annotator=annotator, kind=kind, labels=tuple(labels), none=tuple(none), price=price)


def _rating(at: AtTurn | AtDialogue, rating: int) -> Label:
    return Label("quality", at, quality_name(rating), None, float(rating))


PRICE_PER_TURN = 0.06
"""Price of one annotator's work, in the simulated log's currency."""


@dataclass(frozen=True, slots=True)
class Person:
    """An annotator with error rates at carelessness .5.

    turn_moved: of a turn that is moved to another goal, to none, or to a new one. goals_merged: of a dialogue with two neighboring goals
    merged. outcome: of a flipped outcome. quality: of a rating off by one, a third of the time by two. intent: of a turn with an intent
    confused, omitted or added. slot: of a slot missed, misnamed or with a wrong border; a quarter of it is the rate of an invented slot in
    a turn without slots. A cause is as hard to tell as a rating: `quality` is also the rate at which the cause of a failed goal gets another
    stage or turn, and twice the rate at which a repaired mistake is overlooked."""

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


def look(person: Person, truth: Marks, requests: Sequence[str], carelessness: float, rng: Random) -> Marks:
    """The person's view of a dialogue, from its ground truth. Carelessness 0 returns the ground truth."""
    factor = 2.0 * carelessness
    return Marks(
        goals=_goals(person, truth, len(requests), factor, rng),
        overall=_shift_rating(truth.overall, person.quality * factor, rng),
        turns=tuple(_turn(person, turn, text, factor, rng) for turn, text in zip(truth.turns, requests, strict=True)),
    )


def stricter(view: Marks, strictness: float, rng: Random) -> Marks:
    """The view with this share of the ratings one step lower; below 0, one step higher."""

    def moved(rating: int) -> int:
        if rng.random() >= abs(strictness):
            return rating
        return max(1, rating - 1) if strictness > 0 else min(5, rating + 1)

    turns = tuple(replace(t, quality=None if t.quality is None else moved(t.quality)) for t in view.turns)
    return replace(view, overall=moved(view.overall), turns=turns)


def without_some_causes(
    person: Person, view: Marks, truth: Marks, carelessness: float, rng: Random, names: Sequence[str] = CAUSES
) -> Marks:
    """The view with the person's errors in the causes of the true goals: half the time another stage of these names, else another turn of
    the goal."""
    rate = person.quality * 2.0 * carelessness
    causes = [turn.cause for turn in truth.turns]
    for turns, _ in truth.goals:
        begins = next((t for t in turns if causes[t] in names), None)
        others = [t for t in turns if t != begins]
        if begins is not None and rng.random() < rate:
            if others and rng.random() < 0.5:
                causes[others[int(rng.random() * len(others))]], causes[begins] = causes[begins], "none"
            else:
                causes[begins] = rng.choice([name for name in names if name != causes[begins]])
        for t in turns:
            if causes[t] == "recovered" and rng.random() < rate / 2:
                causes[t] = "none"
    return replace(view, turns=tuple(replace(t, cause=c) for t, c in zip(view.turns, causes, strict=True)))


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
    turns_of: dict[int, list[int]] = {}
    for turn, g in enumerate(goal_of):
        if g is not None:
            turns_of.setdefault(g, []).append(turn)
    return tuple((tuple(turns), _outcome(person, outcomes[g], factor, rng)) for g, turns in turns_of.items())


def _move(turn: int, goal_of: list[int | None], outcomes: list[str], rng: Random) -> None:
    """Move a turn to the other goal of a neighboring turn, else to none or to a new goal."""
    neighbors = [goal_of[k] for k in (turn - 1, turn + 1) if 0 <= k < len(goal_of) and goal_of[k] != goal_of[turn]]
    if neighbors:
        goal_of[turn] = neighbors[int(rng.random() * len(neighbors))]
    elif goal_of[turn] is not None and rng.random() < 0.4:
        goal_of[turn] = None
    else:
        outcomes.append("success")
        goal_of[turn] = len(outcomes) - 1


def _outcome(person: Person, outcome: str, factor: float, rng: Random) -> str:
    if rng.random() < person.outcome * factor:
        return "failure" if outcome == "success" else "success"
    return outcome


def _shift_rating(rating: int, rate: float, rng: Random) -> int:
    if rng.random() >= rate:
        return rating
    by = 1 if rng.random() < 0.65 else 2
    shifted = rating + (by if rng.random() < 0.5 else -by)
    return shifted if 1 <= shifted <= 5 else 2 * rating - shifted


def _turn(person: Person, truth: TurnMarks, request: str, factor: float, rng: Random) -> TurnMarks:
    intents = truth.intents
    if rng.random() < person.intent * factor:
        intents = _other_intents(intents, rng)
    slots = _slots(person, truth.slots, request, factor, rng)
    quality = None if truth.quality is None else _shift_rating(truth.quality, person.quality * factor, rng)
    return TurnMarks(intents, slots, quality)


def _other_intents(intents: tuple[str, ...], rng: Random) -> tuple[str, ...]:
    if not intents:
        return (_INTENTS[int(rng.random() * len(_INTENTS))],)
    k = int(rng.random() * len(intents))
    if rng.random() < 0.2:
        return intents[:k] + intents[k + 1 :]
    others = [name for name in LIKELY_OTHERS[intents[k]] if name not in intents]
    other = others[int(rng.random() * len(others))]
    if rng.random() < 0.15:
        return (*intents, other)
    return (*intents[:k], other, *intents[k + 1 :])


def _slots(person: Person, truth: tuple[Span, ...], request: str, factor: float, rng: Random) -> tuple[Span, ...]:
    rate = person.slot * factor
    if not truth:
        if request and rng.random() < rate / 4:
            words = request.split(" ")
            k = int(rng.random() * len(words))
            start = sum(len(word) + 1 for word in words[:k])
            return ((_SLOTS[int(rng.random() * len(_SLOTS))], start, start + len(words[k]), words[k]),)
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
            others = [other for other in _SLOTS if other != name]
            kept.append((others[int(rng.random() * len(others))], start, end, value))
    return tuple(kept)


def _other_border(start: int, end: int, request: str, low: int, high: int) -> tuple[int, int]:
    """Remove a word at the left, else add one at the left or right, within `[low, high)`."""
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
