"""Cues that several detectors read: feedback that the log recorded, phrases of users and assistants, and clocks."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from labelgen.data.dialogue import Dialogue, Feedback, Turn

Vote = Literal["good", "bad"]


class RecordedFeedback(NamedTuple):
    """turns: those it is about, ascending, at least one. evidence: the turn that holds it; () for the dialogue's."""

    feedback: Feedback
    turns: tuple[int, ...]
    evidence: tuple[int, ...]


def recorded_feedback(dialogue: Dialogue, kind: str) -> Iterator[RecordedFeedback]:
    """The recorded feedback of one kind: first the dialogue's, about all turns, then that of each turn, about the turn that
    holds it, or about another one that `about` names.

    Feedback about a turn that does not exist is left out. Only dialogues made in memory can hold some: a record with it
    is rejected when it is read (`no_such_turn`)."""
    everywhere = tuple(range(len(dialogue.turns)))
    recorded = [RecordedFeedback(f, everywhere, ()) for f in dialogue.feedback if f.kind == kind and everywhere]
    for t, turn in enumerate(dialogue.turns):
        recorded += [RecordedFeedback(f, (t,), (t,)) for f in turn.feedback if f.kind == kind]
    for each in recorded:
        about = each.feedback.about
        if about is None:
            yield each
        elif 0 <= about < len(dialogue.turns):
            yield each._replace(turns=(about,))


def is_recorded(dialogue: Dialogue, turn: int, kind: str) -> bool:
    """Whether the log holds feedback of this kind about this turn, or about the dialogue as a whole."""
    return any(turn in turns for _, turns, _ in recorded_feedback(dialogue, kind))


def records_feedback(dialogue: Dialogue) -> bool:
    """Whether the log holds any feedback on the dialogue, so that silence of its other kinds is informative."""
    return bool(dialogue.feedback) or any(turn.feedback for turn in dialogue.turns)


FAILED_STATUSES = frozenset(
    ("failed", "failure", "error", "no_match", "no_result", "not_understood", "unanswered", "timeout", "rejected")
)
"""Statuses of requests that were not served."""

_NOT_WORD = re.compile(r"[^\w']+")


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Case-folded words with one space between them; punctuation but the apostrophe is removed."""
    return _NOT_WORD.sub(" ", text.replace("’", "'").casefold()).strip()


_NOT_UNDERSTOOD = re.compile(
    r"\b(?:(?<!you )(?:did not|didn't|do not|don't|can't|cannot|couldn't) (?:quite |really |fully )?(?:understand|catch|get that|get it|"
    r"hear you|follow you|know how to|know that one)"
    r"|not sure (?:i understand|what you (?:mean|want)|how to help)|trouble understanding|what do you mean"
    r"|(?:can|could|would) you (?:please )?(?:repeat|rephrase|say that again)"
    r"|(?:can't|cannot|unable to) help (?:you )?with that)\b"
)
_NOT_DONE = re.compile(
    r"\b(?:unfortunately|something went wrong|not available|unavailable|unable to|not possible|trouble reaching"
    r"|(?:could not|couldn't|can't|cannot|was not able to|wasn't able to|did not|didn't|don't) (?:find|reach|book|complete|see any)"
    r"|sorry but|sorry there (?:is|are|was|were)|there (?:is|are|was|were) no|no (?:results|matches)|failed|unsuccessful|not authenticated)\b"
)
_SORRY = re.compile(r"\b(?:sorry(?! to hear)|apologi[sz]e|apologies|my mistake|my bad)\b")

_CLOSING = re.compile(
    r"\b(?:anything else|any thing else|something else|for any more|(?:is|will|would) that (?:be )?all|continue|how (?:else )?(?:can|may) i help"
    r"|would you use \w+ again|thank you for (?:using|calling)"
    r"|welcome|good ?bye|bye|have a (?:nice|great|good|wonderful)|my pleasure)\b"
)


# "Is that correct?" asks before the action, and a no to it is no verdict.
_ASKING_IF_SERVED = re.compile(
    r"\b(?:(?:did|have) (?:i|that|this) (?:answer(?:ed)?|help(?:ed)?|solved?|resolved?)(?: your| you| the| with)?"
    r"|(?:was|is) (?:that|this|it|my answer)(?: answer| response)? (?:helpful|useful|what you (?:wanted|were looking for|meant|need(?:ed)?|asked for))"
    r"|was (?:that|this|it|my answer)(?: answer| response)? (?:right|correct)"
    r"|were (?:the|these|those|my) (?:\w+ )?(?:directions|answers|results|suggestions|instructions|steps) (?:helpful|useful|right|correct)"
    r"|were you satisfied|are you (?:satisfied|happy) with)\b"
)
_LEAVING = re.compile(
    r"\b(?:thanks|thank you|thx|good ?bye|bye|good ?night|see you|no that's all|that's all|that is all|nothing else)\b"
)
_BEFORE_GIVING_UP = r"(?:(?:no|oh|ok|okay|ugh|ah|well|just|please|hey|hm|hmm) )*"
_AFTER_GIVING_UP = r"(?: (?:then|now|please|thanks|thank you))*"
_GREETING = re.compile(r"(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day))\b")
_ASKING = re.compile(
    r"\b(?:what|when|where|which|who|how|why|is there|is the|are there|does|do you|can|could|will|would|may i|i need|i want|i'd like|also"
    r"|let's|find|book|check|show|tell me|give me|now)\b"
)
_LONGEST_GREETING, _LONGEST_PARTING = 3, 8
"""Words of a request that only greets, or only takes leave, at most."""
_GIVING_UP = re.compile(
    _BEFORE_GIVING_UP
    + r"(?:never ?mind(?: (?:that|it|about (?:it|that)))?|forget (?:it|that|about (?:it|that))|drop it|leave it|skip it|whatever"
    r"|(?:i )?give up|don't bother|do not bother)" + _AFTER_GIVING_UP
)
_STOP = re.compile(
    _BEFORE_GIVING_UP + r"(?:(?:stop ?)+(?: (?:it|that|this))?|enough|(?:cancel|abort|quit)(?: (?:it|that|this))?"
    r"|be quiet|shut up|shush|hush)" + _AFTER_GIVING_UP
)


@lru_cache(maxsize=4096)
def failure_strength(response: str) -> float:
    """How clearly a response says that the request was not served, 0..1: not understood .9, not done .8, only an
    apology .5."""
    text = plain(response)
    if _NOT_UNDERSTOOD.search(text):
        return 0.9
    if _NOT_DONE.search(text):
        return 0.8
    return 0.5 if _SORRY.search(text) else 0.0


@lru_cache(maxsize=4096)
def is_closing(text: str) -> bool:
    """Whether a text is a farewell or an offer of more help, which may be repeated without failure and needs no answer."""
    return _CLOSING.search(plain(text)) is not None


@lru_cache(maxsize=4096)
def asks_if_served(response: str) -> bool:
    """Whether the assistant asks if it helped, as in "did I answer your question?"."""
    return _ASKING_IF_SERVED.search(plain(response)) is not None


def gives_up(request: str) -> bool:
    """Whether the request only takes back what was asked for: "never mind", "forget it"."""
    return _GIVING_UP.fullmatch(plain(request)) is not None


def says_stop(request: str) -> bool:
    """Whether the request is only "stop", "cancel that", "be quiet", which may also be a plain command."""
    return _STOP.fullmatch(plain(request)) is not None


def takes_leave(request: str) -> bool:
    """Whether the user ends the dialogue with thanks or a farewell."""
    return _LEAVING.search(plain(request)) is not None


def asks_for_detail(turn: Turn) -> bool:
    """Whether the assistant asks for something that the goal needs; offers of more help, and questions whether it helped, need
    no answer."""
    asks = turn.status == "clarify" or turn.response.rstrip().endswith("?")
    return asks and not is_closing(turn.response) and not asks_if_served(turn.response)


def only_greets(request: str) -> bool:
    """Whether the request is a greeting and asks for nothing."""
    text = plain(request)
    return _GREETING.match(text) is not None and text.count(" ") < _LONGEST_GREETING


def only_takes_leave(request: str) -> bool:
    """Whether the request thanks or says goodbye and asks for nothing; also one without words."""
    text = plain(request)
    if text.count(" ") >= _LONGEST_PARTING or _ASKING.search(text):
        return False
    return not text or _LEAVING.search(text) is not None


def went_wrong(turn: Turn) -> bool:
    """Whether the log or the assistant says that the request was not served, or the request got no response."""
    if turn.status is not None and turn.status.casefold() in FAILED_STATUSES:
        return True
    return bool(turn.request) and (not turn.response or failure_strength(turn.response) >= 0.8)


def gap_s(earlier: Turn, later: Turn) -> float | None:
    """Seconds from the end of one turn (its response, else its request) to the next request; None without clocks, or where
    they run backwards."""
    end_s = earlier.time_s if earlier.response_time_s is None else earlier.response_time_s
    if end_s is None or later.time_s is None or later.time_s < end_s:
        return None
    return later.time_s - end_s
