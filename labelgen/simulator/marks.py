"""One annotator's view of a dialogue in plain form, and as an annotation."""

from dataclasses import dataclass
from functools import lru_cache

from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Field, Label
from labelgen.data.quality import quality_name

Span = tuple[str, int, int, str]
"""Slot name, start, end, value."""


@dataclass(frozen=True, slots=True)
class TurnMarks:
    """quality: 1..5, None where the turn asks for nothing that could be served."""

    intents: tuple[str, ...]
    slots: tuple[Span, ...]
    quality: int | None


@dataclass(frozen=True, slots=True)
class Marks:
    """goals: (turns, outcome), by their first turn. overall: quality of the dialogue, 1..5."""

    goals: tuple[tuple[tuple[int, ...], str], ...]
    overall: int
    turns: tuple[TurnMarks, ...]


def annotate(marks: Marks, annotator: str, kind: str, price: float | None = None) -> Annotation:
    """All fields answered, in the order in which a record holds them."""
    labels: list[Label] = []
    none: list[Field] = [] if marks.goals else [Field(GOALS, AtDialogue())]
    for turns, outcome in marks.goals:
        labels.append(Label(GOALS, AtGoal(turns), "goal"))
        labels.append(Label("outcome", AtGoal(turns), outcome))
    labels.append(_rating(None, marks.overall))
    for k, turn in enumerate(marks.turns):
        if turn.quality is not None:
            labels.append(_rating(k, turn.quality))
        for name in turn.intents:
            labels.append(_intent(k, name))
        for name, start, end, value in turn.slots:
            labels.append(Label("slots", AtSpan(k, start, end), name, None, value))
        if not turn.intents:
            none.append(_without("intents", k))
        if not turn.slots:
            none.append(_without("slots", k))
    return Annotation(annotator=annotator, kind=kind, labels=tuple(labels), none=tuple(none), price=price)


# Five views of each turn are mostly the same few values; to make them anew took a fifth of the time.
@lru_cache(maxsize=1024)
def _rating(turn: int | None, rating: int) -> Label:
    at = AtDialogue() if turn is None else AtTurn(turn)
    return Label("quality", at, quality_name(rating), None, float(rating))


@lru_cache(maxsize=16384)
def _intent(turn: int, name: str) -> Label:
    return Label("intents", AtTurn(turn), name)


@lru_cache(maxsize=1024)
def _without(task: str, turn: int) -> Field:
    return Field(task, AtTurn(turn))
