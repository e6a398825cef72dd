"""Labels as a flat table: one row for each label, each field without a label, and each field from which an annotator abstained."""

from collections.abc import Iterator
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, At, AtDialogue, AtGoal, AtSpan, AtTurn, Field, scope

COLUMNS = (
    "dialogue",
    "annotator",
    "kind",
    "task",
    "unit",
    "turns",
    "turn",
    "start",
    "end",
    "text",
    "label",
    "value",
    "probability",
    "threshold",
    "abstained",
)
"""Columns of the table.

unit: turn, span, goal or dialogue. turns: of a goal, with spaces. turn: index of a turn or of a span's turn. start, end: a span
in code points of the request; text: its words. label: empty where the annotator says that there is none. threshold: below it the
model abstains; absent without one. abstained: whether it did; label and probability are then those that were withheld."""

Row = dict[str, Any]


def label_rows(dialogue: Dialogue, annotation: Annotation) -> Iterator[Row]:
    """The rows of one annotation, in the order of its labels, then of fields without a label, then of withheld ones."""
    thresholds = {
        (one.task, one.unit): one.probability
        for one in (annotation.provenance.thresholds if annotation.provenance else ())
    }

    def row(field: Field, at: At, label: str | None, value: Any, probability: float | None, abstained: bool) -> Row:
        unit = UNIT_OF[type(field.at)]
        threshold = thresholds.get((field.task, unit), thresholds.get((field.task, None)))
        return {
            "dialogue": dialogue.id,
            "annotator": annotation.annotator,
            "kind": annotation.kind,
            "task": field.task,
            "unit": UNIT_OF[type(at)],
            **_place(dialogue, at),
            "label": label,
            "value": None if value is None else str(value),
            "probability": probability,
            "threshold": threshold,
            "abstained": abstained,
        }

    for label in annotation.labels:
        yield row(scope(label), label.at, label.name, label.value, label.probability, False)
    for none in annotation.none:
        yield row(none.field, none.at, None, None, none.probability, False)
    for withheld in annotation.abstained:
        for best in withheld.best:
            yield row(withheld.field, best.at, best.name, best.value, best.probability, True)
        if not withheld.best:
            yield row(withheld.field, withheld.field.at, None, None, None, True)


def _place(dialogue: Dialogue, at: At) -> Row:
    place: Row = dict.fromkeys(("turns", "turn", "start", "end", "text"))
    match at:
        case AtSpan(turn, start, end):
            place |= {"turn": turn, "start": start, "end": end, "text": dialogue.turns[turn].request[start:end]}
        case AtTurn(turn):
            place["turn"] = turn
        case AtGoal(turns):
            place["turns"] = " ".join(map(str, turns))
        case AtDialogue():
            pass
    return place
