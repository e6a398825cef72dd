"""The user went away before the assistant had served the request."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.feedback.recorded_feedback import recorded, recorded_feedback
from labelgen.feedback.wording import asks_if_served, is_closing, takes_leave, went_wrong

EVIDENCE = ("feedback", "response", "status")


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `disconnect`; and the last turn, where its status or its response says that the request
    failed, or where it has no response though one was due: the user neither took leave nor spoke to an offer of more help or
    to "was it helpful?".

    Votes bad; implicit, since nobody was asked. Feedback speaks of the turn it stands on or of the whole dialogue, and
    the last turn of itself. A dialogue that ends after a response that failed in no visible way is silence."""
    told = False
    for _, turns, evidence in recorded_feedback(dialogue, "disconnect"):
        told = True
        yield Signal(kind="disconnect", turns=turns, vote="bad", evidence=evidence)
    if told or not dialogue.turns:
        return
    last = len(dialogue.turns) - 1
    turn = dialogue.turns[last]
    if not went_wrong(turn) or takes_leave(turn.request):
        return
    if turn.response or not (last and _ended(dialogue.turns[last - 1].response)):
        yield Signal(kind="disconnect", turns=(last,), vote="bad", strength=0.6, evidence=(last,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """The last turn, after which users go away; or the log says that the user did."""
    return turn + 1 == len(dialogue.turns) or recorded(dialogue, turn, "disconnect")


def _ended(response: str) -> bool:
    """What is said to this needs no response."""
    return is_closing(response) or asks_if_served(response)
