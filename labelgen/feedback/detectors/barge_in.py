"""Barge-in: the user interrupted the assistant."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.feedback.cues import gap_s, is_recorded, recorded_feedback

EVIDENCE = ("feedback", "time_s", "response_time_s")
PRECISION = {"bad": 0.65}

FASTEST_WORDS_S = 5.0
"""No voice speaks faster than this many words a second, so a request that comes sooner interrupts."""
_LEAST_WORDS = 6


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `barge_in`; and, in a spoken dialogue with clocks, a next request that comes before the
    response could have been spoken.

    Votes bad, weaker where only the clocks say so; implicit. It is about the turn whose response was cut. A dialogue is
    spoken if a turn has sound, a list of recognitions or a recognizer's confidence: a user who types may answer while
    reading. No signal without clocks, or where they run backwards."""
    turns = dialogue.turns
    # A user who stopped the assistant need not interrupt it.
    covered = {t for _, _, evidence in recorded_feedback(dialogue, "stop") for t in evidence}
    for _, about, evidence in recorded_feedback(dialogue, "barge_in"):
        covered.update(evidence)
        yield Signal(kind="barge_in", turns=about, vote="bad", evidence=evidence)
    if not _spoken(turns):
        return
    for t, (turn, after) in enumerate(pairwise(turns)):
        if t not in covered and _cut(turn, after):
            yield Signal(kind="barge_in", turns=(t,), vote="bad", strength=0.7, evidence=(t + 1,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the dialogue is spoken, clocks give the time of the next request, and the response is long enough to be cut; or
    a barge-in is recorded."""
    turns = dialogue.turns
    clear = turn + 1 < len(turns) and _gap_s(turns[turn], turns[turn + 1]) is not None and _spoken(turns)
    return clear or is_recorded(dialogue, turn, "barge_in")


def _spoken(turns: Sequence[Turn]) -> bool:
    return any(turn.audio or turn.nbest or turn.asr_confidence is not None for turn in turns)


def _cut(turn: Turn, after: Turn) -> bool:
    gap = _gap_s(turn, after)
    return gap is not None and gap < _words(turn) / FASTEST_WORDS_S


def _gap_s(turn: Turn, after: Turn) -> float | None:
    """Seconds from the response to the next request; None without clocks, or where the response is too short to cut."""
    if turn.response_time_s is None or _words(turn) < _LEAST_WORDS:
        return None
    return gap_s(turn, after)


def _words(turn: Turn) -> int:
    return turn.response.count(" ") + 1
