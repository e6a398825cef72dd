"""The user's own yes or no to "did I answer your question?"."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.evidence import Signal
from labelgen.feedback.recorded import recorded
from labelgen.feedback.wording import Vote, plain

EVIDENCE = ("feedback", "request")

# "Is that correct?" asks before the deed, and a no to it is no verdict.
_QUESTION = re.compile(
    r"\b(?:(?:did|have) (?:i|that|this) (?:answer(?:ed)?|help(?:ed)?|solved?|resolved?)(?: your| you| the| with)?"
    r"|(?:was|is) (?:that|this|it|my answer)(?: answer| response)? (?:helpful|useful|what you (?:wanted|were looking for|meant|need(?:ed)?|asked for))"
    r"|was (?:that|this|it|my answer)(?: answer| response)? (?:right|correct)"
    r"|were you satisfied|are you (?:satisfied|happy) with)\b"
)
_YES = re.compile(
    r"(?:yes|yeah|yep|yup|yea|sure|correct|right|exactly|definitely|absolutely|of course|uh huh|it (?:did|was|is)|you did|that's right|i am)\b"
)
_NO = re.compile(
    r"(?:no|nope|nah|not (?:really|at all|quite|exactly)|it (?:didn't|did not|wasn't|was not|isn't)|you didn't|you did not|wrong|i'm not)\b"
)


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `answer`, and a request that says yes or no to the assistant's question whether it helped.

    Votes good for yes and bad for no; explicit. It speaks of the turn that is meant, else of the turn that asked, else
    (feedback of the dialogue) of all turns. Any other answer is silence."""
    everything = tuple(range(len(dialogue.turns)))
    if everything:
        for feedback in dialogue.feedback:
            turns = everything if feedback.about is None else (feedback.about,)
            yield from _told(feedback, turns, ())
    recorded = set()
    for t, turn in enumerate(dialogue.turns):
        for feedback in turn.feedback:
            about = t if feedback.about is None else feedback.about
            for signal in _told(feedback, (about,), (t,)):
                recorded.add(about)
                yield signal
    for t in range(1, len(dialogue.turns)):
        if t - 1 in recorded or not _QUESTION.search(plain(dialogue.turns[t - 1].response)):
            continue
        reply = plain(dialogue.turns[t].request)
        if _NO.match(reply):
            yield Signal(kind="answer", turns=(t - 1,), vote="bad", strength=0.9, explicit=True, evidence=(t,))
        elif _YES.match(reply):
            yield Signal(kind="answer", turns=(t - 1,), vote="good", strength=0.9, explicit=True, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Somebody asked, in a response that a request follows; or an answer is recorded, so somebody did."""
    followed = turn + 1 < len(dialogue.turns)
    asked = followed and _QUESTION.search(plain(dialogue.turns[turn].response)) is not None
    return asked or recorded(dialogue, turn, "answer")


def _told(feedback: Feedback, turns: tuple[int, ...], evidence: tuple[int, ...]) -> Iterator[Signal]:
    if feedback.kind == "answer" and feedback.answer in ("yes", "no"):
        vote: Vote = "good" if feedback.answer == "yes" else "bad"
        yield Signal(kind="answer", turns=turns, vote=vote, explicit=True, evidence=evidence)
