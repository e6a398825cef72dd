"""Regenerate: the user asked for another answer to the same request."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import recorded_feedback, records_feedback

EVIDENCE = ("feedback",)
PRECISION = {"bad": 0.7}
FAMILY = "another try"


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `regenerate`.

    Votes bad; implicit. Half as strong where the feedback has the replaced response as its text: the response of the turn is
    then the one that the user kept."""
    for feedback, turns, evidence in recorded_feedback(dialogue, "regenerate"):
        strength = 0.5 if feedback.text else 1.0
        yield Signal(kind="regenerate", turns=turns, vote="bad", strength=strength, evidence=evidence)


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the log records feedback."""
    return records_feedback(dialogue)
