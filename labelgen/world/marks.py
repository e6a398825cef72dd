"""One annotator's view of a dialogue in plain form, and as an annotation."""

from dataclasses import dataclass

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
    labels.append(Label("quality", AtDialogue(), quality_name(marks.overall), None, float(marks.overall)))
    for k, turn in enumerate(marks.turns):
        at = AtTurn(k)
        if turn.quality is not None:
            labels.append(Label("quality", at, quality_name(turn.quality), None, float(turn.quality)))
        labels += [Label("intents", at, name) for name in turn.intents]
        labels += [Label("slots", AtSpan(k, start, end), name, None, value) for name, start, end, value in turn.slots]
        if not turn.intents:
            none.append(Field("intents", at))
        if not turn.slots:
            none.append(Field("slots", at))
    return Annotation(annotator=annotator, kind=kind, labels=tuple(labels), none=tuple(none), price=price)
