"""Abandonment: the user left the assistant's question unanswered, and with it the goal."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import (
    asks_for_detail,
    gap_s,
    gives_up,
    recorded_feedback,
    says_stop,
    takes_leave,
    went_wrong,
)
from labelgen.feedback.items import LONG_GAP_S, domain_of

EVIDENCE = ("response", "status")
PRECISION = {"bad": 0.75}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads responses that ask for something (they end with a question mark, or the status is `clarify`), and what
    follows: nothing, a gap of five minutes, or a turn of another domain after which the first does not come back.

    Votes bad for the turn that asked; implicit. The vote is about the goal: the question itself may have been the right
    one (items.py). Offers of more help, and questions whether it helped, need no answer. No signal where another kind
    covers it: a recorded disconnect or stop, a last turn that failed (`disconnect`), "never mind" (`stop`)."""
    turns = dialogue.turns
    asking = [t for t, turn in enumerate(turns) if asks_for_detail(turn, dialogue.locale)]
    if not asking:
        return
    covered = {t for kind in ("disconnect", "stop") for _, about, _ in recorded_feedback(dialogue, kind) for t in about}
    domains = [domain_of(turn) for turn in turns]
    last_of = {domain: t for t, domain in enumerate(domains)}
    for t in asking:
        turn = turns[t]
        if t in covered:
            continue
        if t + 1 == len(turns):
            left = not (went_wrong(turn, dialogue.locale) or takes_leave(turn.request, dialogue.locale))
        elif gives_up(turns[t + 1].request, dialogue.locale) or says_stop(turns[t + 1].request, dialogue.locale):
            left = False
        else:
            gap = gap_s(turn, turns[t + 1])
            gone = None not in domains[t : t + 2] and last_of[domains[t]] == t
            left = gone or (gap is not None and gap > LONG_GAP_S)
        if left:
            yield Signal(kind="abandonment", turns=(t,), vote="bad", strength=0.8, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Only a question can be left unanswered."""
    return asks_for_detail(dialogue.turns[turn], dialogue.locale)
