"""Edit: the user changed the request after the response, or corrected the response."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import recorded_feedback, records_feedback
from labelgen.feedback.phrases import plain

EVIDENCE = ("feedback",)
PRECISION = {"bad": 0.7}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of the kinds `edit` (of the prompt) and `edit_response`.

    Votes bad; implicit. An edit of the prompt is weaker (.8): the user may have changed the mind. No signal where the text of
    the feedback has the same words as before."""
    for kind, strength in (("edit", 0.8), ("edit_response", 1.0)):
        for feedback, turns, evidence in recorded_feedback(dialogue, kind):
            turn = dialogue.turns[turns[0]]
            before = turn.request if kind == "edit" else turn.response
            if not (feedback.text and len(turns) == 1 and plain(feedback.text) == plain(before)):
                yield Signal(kind="edit", turns=turns, vote="bad", strength=strength, evidence=evidence)


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the log records feedback."""
    return records_feedback(dialogue)
