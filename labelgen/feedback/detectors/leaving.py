"""Implicit feedback by clocks and by the place in the dialogue: users who leave or interrupt."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.feedback.cues import (
    asks_for_detail,
    asks_if_served,
    gap_s,
    gives_up,
    is_closing,
    is_recorded,
    recorded_feedback,
    says_stop,
    takes_leave,
    went_wrong,
)
from labelgen.feedback.items import domain_of

FASTEST_WORDS_S = 5.0
"""No voice speaks faster than this many words a second, so a request that comes sooner interrupts."""

_LEAST_CUT_WORDS = 6


class Disconnect:
    """The user left before the request was served."""

    EVIDENCE = ("feedback", "response", "status")
    PRECISION: ClassVar = {"bad": 0.8}
    FAMILY = "visible failure"

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `disconnect`; and the last turn, where its status or its response says that the request
        failed, or where a response is missing: the user neither said goodbye nor replied to an offer of more help or to "was
        it helpful?".

        Votes bad; implicit, since nobody was asked. Feedback is about the turn that holds it or about the whole dialogue, the
        last turn about itself. No signal where the last response failed in no visible way."""
        recorded = False
        for _, turns, evidence in recorded_feedback(dialogue, "disconnect"):
            recorded = True
            yield Signal(kind="disconnect", turns=turns, vote="bad", evidence=evidence)
        if recorded or not dialogue.turns:
            return
        last = len(dialogue.turns) - 1
        turn = dialogue.turns[last]
        if not went_wrong(turn, dialogue.locale) or takes_leave(turn.request, dialogue.locale):
            return
        if turn.response or not (last and _needs_no_response(dialogue.turns[last - 1].response, dialogue.locale)):
            yield Signal(kind="disconnect", turns=(last,), vote="bad", strength=0.6, evidence=(last,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether it is the last turn, after which users leave, or a disconnect is recorded."""
        return turn + 1 == len(dialogue.turns) or is_recorded(dialogue, turn, "disconnect")


def _needs_no_response(response: str, locale: str | None) -> bool:
    """Whether a reply to this needs no response."""
    return is_closing(response, locale) or asks_if_served(response, locale)


class Abandonment:
    """The user left the assistant's question unanswered, and with it the goal."""

    EVIDENCE = ("response", "status")
    PRECISION: ClassVar = {"bad": 0.75}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads responses that ask for something (they end with a question mark, or the status is `clarify`), and what
        follows: nothing, or a turn of another domain after which the first does not come back. Clocks are not read: a user who
        answers late did not leave.

        Votes bad for the turn that asked; implicit. The vote is about the goal: the question itself may have been the right
        one (items.py). Offers of more help, and questions whether it helped, need no answer. No signal where another kind
        covers it: a recorded disconnect or stop, a last turn that failed (`disconnect`), "never mind" (`stop`)."""
        turns = dialogue.turns
        asking = [t for t, turn in enumerate(turns) if asks_for_detail(turn, dialogue.locale)]
        if not asking:
            return
        covered = {
            t for kind in ("disconnect", "stop") for _, about, _ in recorded_feedback(dialogue, kind) for t in about
        }
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
                left = None not in domains[t : t + 2] and last_of[domains[t]] == t
            if left:
                yield Signal(kind="abandonment", turns=(t,), vote="bad", strength=0.8, evidence=(t,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Only a question can be left unanswered."""
        return asks_for_detail(dialogue.turns[turn], dialogue.locale)


class BargeIn:
    """The user interrupted the assistant."""

    EVIDENCE = ("feedback", "time_s", "response_time_s")
    PRECISION: ClassVar = {"bad": 0.65}

    @staticmethod
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

    @staticmethod
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
    return gap is not None and gap < _word_count(turn) / FASTEST_WORDS_S


def _gap_s(turn: Turn, after: Turn) -> float | None:
    """Seconds from the response to the next request; None without clocks, or where the response is too short to cut."""
    if turn.response_time_s is None or _word_count(turn) < _LEAST_CUT_WORDS:
        return None
    return gap_s(turn, after)


def _word_count(turn: Turn) -> int:
    return turn.response.count(" ") + 1
