"""Copy: the user copied the response."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import recorded_feedback, records_feedback

EVIDENCE = ("feedback",)
PRECISION = {"good": 0.7}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `copy`; several copies of one response count once.

    Votes good; implicit."""
    seen = set()
    for _, turns, evidence in recorded_feedback(dialogue, "copy"):
        if turns not in seen:
            seen.add(turns)
            yield Signal(kind="copy", turns=turns, vote="good", evidence=evidence)


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the log records feedback."""
    return records_feedback(dialogue)
