"""Correction: the user corrects the assistant."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import plain

EVIDENCE = ("request",)
PRECISION = {"bad": 0.8}
FAMILY = "visible failure"

_ANYWHERE = re.compile(
    r"\b(?:(?<!sorry )i (?:said|meant|asked for|asked you (?:to|for)|told you|already (?:said|told|asked))"
    r"|(?:that's|that is|this is|it's|you're|you are) (?:not (?:what i|right|correct|it\b|the (?:one|right))|wrong|incorrect)"
    r"|(?:that's|that is|this is|it's|played|booked|gave me|no) the wrong|wrong one|not what i|you (?:misunderstood|got (?:it|that) wrong|didn't (?:answer|listen)))\b"
)
_OPENING = re.compile(
    r"(?:(?:no|nope|wait|oh|ugh|um|uh) )*(?:not (?:that|this|there|it)\b|the other one\b|the one by\b|i mean\b)"
)
_NO = re.compile(
    r"(?:no|nope) (?!thanks|thank you|i'm (?:good|fine|ok|okay|all)|i am (?:good|fine|ok|okay|all)|that's (?:all|it|ok|fine)|that is (?:all|it|ok|fine)|that will|that would|that's alright|thats|need|problem|issues?|worries|idea|more|one|not now)\w"
)
_ASKS = re.compile(r"\?|\bconfirm\b", re.IGNORECASE)


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads words such as "no, I meant", "not that", "the other one", "that's wrong" in a request, and "no, ..." after a
    response that asked nothing.

    Votes bad for the turn before; implicit. No signal where users change their mind ("actually, make it two"), where a no
    answers the assistant's question, also one that confirms before the action, and for the first request."""
    for t in range(1, len(dialogue.turns)):
        text = plain(dialogue.turns[t].request)
        before = dialogue.turns[t - 1].response
        if _OPENING.match(text):
            strength = 0.9
        elif _ANYWHERE.search(text):
            strength = 0.8
        elif _NO.match(text) and before and not _ASKS.search(before):
            strength = 0.7
        else:
            continue
        yield Signal(kind="correction", turns=(t - 1,), vote="bad", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a request follows, which may correct."""
    return turn + 1 < len(dialogue.turns)
