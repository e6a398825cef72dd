"""Answer: the user's yes or no to "did I answer your question?"."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import Vote, asks_if_served, is_recorded, plain, recorded_feedback

EVIDENCE = ("feedback", "request")
PRECISION = {"good": 0.95, "bad": 0.95}

_YES = re.compile(
    r"(?:yes|yeah|yep|yup|yea|sure|correct|right|exactly|definitely|absolutely|of course|uh huh|it (?:did|was|is)|you did|that's right|i am)\b"
)
_NO = re.compile(
    r"(?:no|nope|nah|not (?:really|at all|quite|exactly)|it (?:didn't|did not|wasn't|was not|isn't)|you didn't|you did not|wrong|i'm not)\b"
)


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `answer`, and a request that says yes or no to the assistant's question whether it helped.

    Votes good for yes and bad for no; explicit. It is about the turn that is named, else the turn that asked, else
    (feedback of the dialogue) all turns. Any other answer is no signal."""
    recorded: set[int] = set()
    for feedback, turns, evidence in recorded_feedback(dialogue, "answer"):
        if feedback.answer in ("yes", "no"):
            vote: Vote = "good" if feedback.answer == "yes" else "bad"
            recorded.update(turns if evidence else ())
            yield Signal(kind="answer", turns=turns, vote=vote, explicit=True, evidence=evidence)
    for t in range(1, len(dialogue.turns)):
        reply = plain(dialogue.turns[t].request)
        vote_in_words: Vote | None = "bad" if _NO.match(reply) else "good" if _YES.match(reply) else None
        if vote_in_words and t - 1 not in recorded and asks_if_served(dialogue.turns[t - 1].response):
            yield Signal(kind="answer", turns=(t - 1,), vote=vote_in_words, strength=0.9, explicit=True, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the user was asked, in a response before another request, or an answer is recorded."""
    question = turn + 1 < len(dialogue.turns) and asks_if_served(dialogue.turns[turn].response)
    return question or is_recorded(dialogue, turn, "answer")
