"""Gratitude: the user thanks or praises the assistant."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import went_wrong
from labelgen.feedback.phrases import phrases

EVIDENCE = ("request",)
PRECISION = {"good": 0.7}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads words of thanks and praise in a request.

    Votes good for the turn before; implicit. Half as strong where that turn visibly failed: many users
    thank out of politeness. No signal for "no thanks", "thanks anyway", "thanks for nothing", and the first request."""
    words = phrases(dialogue.locale)
    for t in range(1, len(dialogue.turns)):
        text = dialogue.turns[t].request
        if words.search("thanks", text) and not words.search("no_thanks", text):
            strength = 0.4 if went_wrong(dialogue.turns[t - 1], dialogue.locale) else 0.8
            yield Signal(kind="gratitude", turns=(t - 1,), vote="good", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a request follows, which may thank, in a language whose thanks are known."""
    return turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("thanks")
