"""The user asks the same thing again, in nearly the same words."""

import re
from collections.abc import Iterator

from rapidfuzz import fuzz

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.feedback.wording import gap_s, plain, went_wrong

EVIDENCE = ("request",)

REACH_TURNS = 2
REACH_S = 90.0
_LEAST_WORDS = 3
_NEAR = 75.0
_NEAR_AFTER_FAILURE = 65.0
_SAME_WORD = 50.0

_LITTLE_WORDS = frozenset(("a", "an", "the", "that", "this", "my", "some", "any", "please"))

# What answers the assistant asks for nothing, however often it is said.
_ANSWERING = re.compile(
    r"(?:yes|yeah|yep|yup|sure|ok|okay|no|nope|that|that's|this|thanks|thank|sounds|great|good|perfect|i'm|hello|hi)\b"
)


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads requests of three words or more and the two after each, within 90 seconds where there are clocks; near is a
    normalised similarity (edits, or edits of the sorted words) of 75 of 100, or 65 after a visible failure.

    Votes bad for the earlier turn (struggle), as strongly as the two are alike; implicit. Silence where the two differ
    by a word that was put in another's place and is not alike ("weather in Paris", "weather in Rome"), or are equal and
    nothing visibly failed ("next song" said twice): that is exploration. Silence too for what only answers the
    assistant: "yes, that is correct", or the same request with what was asked for."""
    turns = dialogue.turns
    texts = [plain(turn.request) for turn in turns]
    asks = [_asks(text) for text in texts]
    for t, text in enumerate(texts):
        if not asks[t]:
            continue
        failed = went_wrong(turns[t])
        least = _NEAR_AFTER_FAILURE if failed else _NEAR
        for later in range(t + 1, min(t + 1 + REACH_TURNS, len(turns))):
            if not asks[later]:
                continue
            gap = gap_s(turns[t], turns[later])
            if gap is not None and gap > REACH_S:
                break
            alike = fuzz.ratio(text, texts[later], score_cutoff=least) or fuzz.token_sort_ratio(
                text, texts[later], score_cutoff=least
            )
            if not alike:
                continue
            struggles = failed or (text != texts[later] and "?" not in turns[t].response)
            if struggles and not _explores(text, texts[later]):
                strength = alike / 100.0 if failed else alike / 125.0
                yield Signal(kind="rephrase", turns=(t,), vote="bad", strength=strength, evidence=(later,))
            break


def observable(dialogue: Dialogue, turn: int) -> bool:
    """A request that asks for something, with another one after it."""
    return turn + 1 < len(dialogue.turns) and _asks(plain(dialogue.turns[turn].request))


def _asks(text: str) -> bool:
    return text.count(" ") + 1 >= _LEAST_WORDS and not _ANSWERING.match(text)


def _explores(before: str, after: str) -> bool:
    """Some word went, some other word that is not alike came in its place."""
    old, new = (set(text.split()) - _LITTLE_WORDS for text in (before, after))
    gone, come = old - new, new - old
    return bool(gone) and any(all(fuzz.ratio(word, other) < _SAME_WORD for other in gone) for word in come)
