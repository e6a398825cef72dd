"""Retry: the user sent the same request again by a button."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import recorded_feedback, records_feedback

EVIDENCE = ("feedback",)
PRECISION = {"bad": 0.75}
FAMILY = "another try"


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `retry`.

    Votes bad; implicit. The same request in words is `rephrase`."""
    for _, turns, evidence in recorded_feedback(dialogue, "retry"):
        yield Signal(kind="retry", turns=turns, vote="bad", evidence=evidence)


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the log records feedback."""
    return records_feedback(dialogue)
