"""Repetition: the assistant apologizes, did not understand, or repeats itself."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import failure_strength, is_closing
from labelgen.feedback.phrases import plain

EVIDENCE = ("response", "status")
PRECISION = {"bad": 0.75}
FAMILY = "visible failure"

_LEAST_WORDS = 4


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads responses: words of failure ("I didn't get that", "I'm sorry, but there is no room"), and four words or
    more that equal the response before.

    Votes bad for the turn itself: not understood .9, not done .8, a repeated question .6, a bare apology .5, another
    repeated response .4; implicit. Farewells and offers of more help may be repeated, and so may a pattern with other
    values in it ("the Hilton has a rating of 2")."""
    before = ""
    for t, turn in enumerate(dialogue.turns):
        strength = failure_strength(turn.response, dialogue.locale)
        text = plain(turn.response)
        if (
            not strength
            and text == before
            and text.count(" ") + 1 >= _LEAST_WORDS
            and not is_closing(text, dialogue.locale)
        ):
            strength = 0.6 if turn.response.rstrip().endswith("?") else 0.4
        if strength:
            yield Signal(kind="repetition", turns=(t,), vote="bad", strength=strength, evidence=(t,))
        before = text


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether there is a response."""
    return bool(dialogue.turns[turn].response)
