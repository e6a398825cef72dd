"""One dialogue as it is looked at: requests and responses, goals, and a candidate's labels beside the reference's."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.evidence import Signal
from labelgen.data.labels import AtDialogue, AtGoal, AtTurn
from labelgen.data.quarantine import Rejected
from labelgen.data.record import convert
from labelgen.report.desk import Answer, Desk, Line, State
from labelgen.report.form import Example
from labelgen.report.tracks import Goal, Track, pair, tracks


@dataclass(frozen=True, slots=True)
class TurnView:
    index: int
    turn: Turn
    lines: tuple[Line, ...]
    answers: tuple[Answer, ...]
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class GoalView:
    """A goal of the reference, of the candidate, or of both where they were paired; answers about it, such as outcome."""

    goal: Goal
    state: State
    reference: Goal | None
    candidate: Goal | None
    probability: float | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class DialogueView:
    example: Example
    dialogue: Dialogue
    answers: tuple[Answer, ...]
    goals: tuple[GoalView, ...]
    reference_tracks: tuple[Track, ...]
    candidate_tracks: tuple[Track, ...]
    turns: tuple[TurnView, ...]


def view(example: Example, without: Collection[str] = ()) -> DialogueView:
    """Lay out one example. without: tasks that are not shown. Raises InputError if its record is no record."""
    dialogue = convert(example.record, "the evaluation")
    if isinstance(dialogue, Rejected):
        raise InputError(f"an example is no record: {dialogue.reason}", dialogue.where(), "write the evaluation anew")
    reference, candidate = dialogue.annotation(example.reference), dialogue.annotation(example.candidate)
    ours, theirs = pair(reference, candidate)
    desk = Desk(dialogue, reference, candidate, without)
    count = len(dialogue.turns)
    return DialogueView(
        example=example,
        dialogue=dialogue,
        answers=desk.answers(AtDialogue(), AtDialogue()),
        goals=tuple(_goal_views(desk, ours, theirs)),
        reference_tracks=tracks(ours, count),
        candidate_tracks=tracks(theirs, count),
        turns=tuple(
            TurnView(k, turn, desk.lines(k), desk.answers(AtTurn(k), AtTurn(k)), tuple(_seen_at(dialogue.signals, k)))
            for k, turn in enumerate(dialogue.turns)
        ),
    )


def feedback_words(feedback: Feedback) -> str:
    """What the log recorded, such as `rating 4 of 1 to 5` or `answer yes about turn 0`."""
    words = [feedback.kind.replace("_", " ")]
    if feedback.answer is not None and feedback.answer != feedback.kind:
        words.append(feedback.answer)
    if feedback.rating is not None:
        words.append(f"{feedback.rating:g}")
    if feedback.scale is not None:
        words.append(f"on {feedback.scale[0]:g} to {feedback.scale[1]:g}")
    if feedback.about is not None:
        words.append(f"about turn {feedback.about}")
    if feedback.question is not None:
        words.append(f"({feedback.question})")
    return " ".join(words)


def _seen_at(signals: Iterable[Signal], turn: int) -> Iterable[Signal]:
    return (s for s in signals if turn in (s.evidence or s.turns[-1:]))


def _goal_views(desk: Desk, ours: Sequence[Goal], theirs: Sequence[Goal]) -> Iterable[GoalView]:
    mine, other = {g.number: g for g in ours}, {g.number: g for g in theirs}
    for key in sorted({*mine, *other}):
        a, b = mine.get(key), other.get(key)
        goal = a or b
        assert goal is not None
        if not desk.both_divide:
            state: State = "unjudged"
        else:
            state = "differs" if a is None or b is None or a.turns != b.turns else "same"
        at_a, at_b = (None if g is None else AtGoal(g.turns) for g in (a, b))
        yield GoalView(goal, state, a, b, desk.probability(at_b), desk.answers(at_a, at_b))
