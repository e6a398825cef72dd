"""The user went away before the assistant had served the request."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.feedback.recorded import recorded
from labelgen.feedback.wording import plain, went_wrong

EVIDENCE = ("feedback", "response", "status")

_LEAVING = re.compile(
    r"\b(?:thanks|thank you|thx|good ?bye|bye|good ?night|see you|no that's all|that's all|that is all|nothing else)\b"
)


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `disconnect`; and the last turn, where its status or its response says that the request
    failed, or where it has no response and the user was not taking leave.

    Votes bad; implicit, since nobody was asked. Feedback speaks of the turn it stands on or of the whole dialogue, and
    the last turn of itself. A dialogue that ends after a response that failed in no visible way is silence."""
    everything = tuple(range(len(dialogue.turns)))
    if not everything:
        return
    told = False
    for feedback in dialogue.feedback:
        if feedback.kind == "disconnect":
            told = True
            turns = everything if feedback.about is None else (feedback.about,)
            yield Signal(kind="disconnect", turns=turns, vote="bad")
    for t, turn in enumerate(dialogue.turns):
        for feedback in turn.feedback:
            if feedback.kind == "disconnect":
                told = True
                about = t if feedback.about is None else feedback.about
                yield Signal(kind="disconnect", turns=(about,), vote="bad", evidence=(t,))
    last = dialogue.turns[-1]
    if not told and went_wrong(last) and not _LEAVING.search(plain(last.request)):
        yield Signal(kind="disconnect", turns=everything[-1:], vote="bad", strength=0.6, evidence=everything[-1:])


def observable(dialogue: Dialogue, turn: int) -> bool:
    """The last turn, after which users go away; or the log says that the user did."""
    return turn + 1 == len(dialogue.turns) or recorded(dialogue, turn, "disconnect")
