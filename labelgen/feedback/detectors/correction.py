"""Correction: the user corrects the assistant."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.phrases import phrases

EVIDENCE = ("request",)
PRECISION = {"bad": 0.8}
FAMILY = "visible failure"


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads words such as "no, I meant", "not that", "the other one", "that's wrong" in a request, and "no, ..." after a
    response that asked nothing.

    Votes bad for the turn before; implicit. No signal where users change their mind ("actually, make it two"), where a no
    answers the assistant's question, also one that confirms before the action, and for the first request."""
    words = phrases(dialogue.locale)
    for t in range(1, len(dialogue.turns)):
        text = dialogue.turns[t].request
        before = dialogue.turns[t - 1].response
        if words.match("correction_opening", text):
            strength = 0.9
        elif words.search("correction", text):
            strength = 0.8
        elif (
            words.match("correction_no", text) and before and not ("?" in before or words.search("confirming", before))
        ):
            strength = 0.7
        else:
            continue
        yield Signal(kind="correction", turns=(t - 1,), vote="bad", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a request follows, which may correct, in a language whose corrections are known."""
    return turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("correction")
