"""Gratitude: the user thanks or praises the assistant."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import plain, went_wrong

EVIDENCE = ("request",)
PRECISION = {"good": 0.7}

_THANKS = re.compile(
    r"\b(?:thanks|thank you|thank u|thx|perfect|awesome|wonderful|excellent|fantastic|brilliant|well done|good job|you're the best"
    r"|that(?:'s| is| was| sounds) (?:great|perfect|good|helpful|it|nice|lovely)|just what i (?:wanted|needed)|you've been (?:very |so )?helpful)\b"
)
_NOT_MEANT = re.compile(
    r"\b(?:thanks for nothing|no thanks|no thank you|thanks anyway|thank you anyway|thanks but|thank you but|thanks a lot for nothing"
    r"|not (?:very |so |really )?(?:perfect|great|good|helpful|excellent)|yeah (?:right|sure) thanks|oh (?:great|perfect|wonderful) (?:now|another|just)"
    r"|would be (?:great|perfect|awesome|wonderful|excellent))\b"
)


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads words of thanks and praise in a request.

    Votes good for the turn before; implicit. Half as strong where that turn visibly failed: many users
    thank out of politeness. No signal for "no thanks", "thanks anyway", "thanks for nothing", and the first request."""
    for t in range(1, len(dialogue.turns)):
        text = plain(dialogue.turns[t].request)
        if _THANKS.search(text) and not _NOT_MEANT.search(text):
            strength = 0.4 if went_wrong(dialogue.turns[t - 1]) else 0.8
            yield Signal(kind="gratitude", turns=(t - 1,), vote="good", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a request follows, which may thank."""
    return turn + 1 < len(dialogue.turns)
