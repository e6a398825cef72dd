"""Stop: the user stops the assistant, or gives up the request."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.feedback.cues import gap_s, gives_up, is_closing, recorded_feedback, records_feedback, says_stop
from labelgen.feedback.phrases import phrases

EVIDENCE = ("feedback", "request")
PRECISION = {"bad": 0.75}

REACH_S = 90.0
"""A later request is no reaction to the response."""


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
        strength = (
            0.8 if gives_up(turn.request, dialogue.locale) else 0.6 if says_stop(turn.request, dialogue.locale) else 0.0
        )
        if strength and t - 1 not in recorded and _reacts(before, turn, dialogue.locale):
            yield Signal(kind="stop", turns=(t - 1,), vote="bad", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a turn follows, for words, or the log records feedback, for a recorded stop."""
    in_words = turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("giving_up", "stop")
    return in_words or records_feedback(dialogue)


def _reacts(before: Turn, turn: Turn, locale: str | None) -> bool:
    words = phrases(locale)
    gap = gap_s(before, turn)
    if (gap is not None and gap > REACH_S) or is_closing(before.response, locale):
        return False
    if gives_up(before.request, locale) or says_stop(before.request, locale):
        return False
    if "?" in before.response and words.match("refusing", turn.request):
        return False
    if gives_up(turn.request, locale):
        return True
    return not (words.search("runs", before.response) or words.search("stopped", turn.response))
