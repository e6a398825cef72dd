"""Disconnect: the user left before the request was served."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import asks_if_served, is_closing, is_recorded, recorded_feedback, takes_leave, went_wrong

EVIDENCE = ("feedback", "response", "status")
PRECISION = {"bad": 0.8}
FAMILY = "visible failure"


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `disconnect`; and the last turn, where its status or its response says that the request
    failed, or where a response is missing: the user neither said goodbye nor replied to an offer of more help or to "was
    it helpful?".

    Votes bad; implicit, since nobody was asked. Feedback is about the turn that holds it or about the whole dialogue, the
    last turn about itself. No signal where the last response failed in no visible way."""
    recorded = False
    for _, turns, evidence in recorded_feedback(dialogue, "disconnect"):
        recorded = True
        yield Signal(kind="disconnect", turns=turns, vote="bad", evidence=evidence)
    if recorded or not dialogue.turns:
        return
    last = len(dialogue.turns) - 1
    turn = dialogue.turns[last]
    if not went_wrong(turn, dialogue.locale) or takes_leave(turn.request, dialogue.locale):
        return
    if turn.response or not (last and _ended(dialogue.turns[last - 1].response, dialogue.locale)):
        yield Signal(kind="disconnect", turns=(last,), vote="bad", strength=0.6, evidence=(last,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether it is the last turn, after which users leave, or a disconnect is recorded."""
    return turn + 1 == len(dialogue.turns) or is_recorded(dialogue, turn, "disconnect")


def _ended(response: str, locale: str | None) -> bool:
    """Whether a reply to this needs no response."""
    return is_closing(response, locale) or asks_if_served(response, locale)
