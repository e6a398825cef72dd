"""Stop: the user stops the assistant, or gives up the request."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.feedback.cues import gap_s, gives_up, is_closing, plain, recorded_feedback, records_feedback, says_stop

EVIDENCE = ("feedback", "request")
PRECISION = {"bad": 0.75}

REACH_S = 90.0
"""A later request is no reaction to the response."""

# What goes on until somebody stops it.
_RUNS = re.compile(
    r"\b(?:playing|plays|shuffling|starting|started|here's|here is|timer|alarm|countdown|recording|reading|headlines|newsroom"
    r"|calling|ringing|navigating)\b"
)
_STOPPED = re.compile(
    r"\b(?:paused|cancell?ed|turned (?:\w+ )?off|switched off|is off|removed|deleted|ended|undone|stopped (?:the|your|playing))\b"
)
_NO = re.compile(r"(?:no|nope)\b")


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `stop`; and a request that is nothing but "never mind", "forget it" (strength .8), or
    "stop", "cancel that", "be quiet" (.6).

    Votes bad, words for the turn before; implicit. No signal for a plain command: it names what is to stop ("stop the
    music", "cancel my timer"); or is a bare "stop" after something that runs until it is stopped ("Playing ...", "Timer
    set ..."); or gets a response that says what was done ("Paused.", "Your booking is cancelled."). No signal either for
    an answer to an offer of more help, a no to a question, a second stop, and a request 90 seconds after the response."""
    recorded: set[int] = set()
    for _, turns, evidence in recorded_feedback(dialogue, "stop"):
        recorded.update(turns)
        yield Signal(kind="stop", turns=turns, vote="bad", evidence=evidence)
    for t in range(1, len(dialogue.turns)):
        before, turn = dialogue.turns[t - 1 : t + 1]
        strength = 0.8 if gives_up(turn.request) else 0.6 if says_stop(turn.request) else 0.0
        if strength and t - 1 not in recorded and _reacts(before, turn):
            yield Signal(kind="stop", turns=(t - 1,), vote="bad", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a turn follows, for words, or the log records feedback, for a recorded stop."""
    return turn + 1 < len(dialogue.turns) or records_feedback(dialogue)


def _reacts(before: Turn, turn: Turn) -> bool:
    gap = gap_s(before, turn)
    if (gap is not None and gap > REACH_S) or is_closing(before.response):
        return False
    if gives_up(before.request) or says_stop(before.request):
        return False
    if "?" in before.response and _NO.match(plain(turn.request)):
        return False
    if gives_up(turn.request):
        return True
    return not (_RUNS.search(plain(before.response)) or _STOPPED.search(plain(turn.response)))
