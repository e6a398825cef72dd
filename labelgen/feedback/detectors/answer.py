"""Answer: the user's yes or no to "did I answer your question?"."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import Vote, asks_if_served, is_recorded, recorded_feedback
from labelgen.feedback.phrases import phrases

EVIDENCE = ("feedback", "request")
PRECISION = {"good": 0.95, "bad": 0.95}


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
    words = phrases(dialogue.locale)
    for t in range(1, len(dialogue.turns)):
        reply = dialogue.turns[t].request
        vote_in_words: Vote | None = (
            "bad" if words.match("denying", reply) else "good" if words.match("affirming", reply) else None
        )
        if vote_in_words and t - 1 not in recorded and asks_if_served(dialogue.turns[t - 1].response, dialogue.locale):
            yield Signal(kind="answer", turns=(t - 1,), vote=vote_in_words, strength=0.9, explicit=True, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the user was asked, in a response before another request, or an answer is recorded."""
    question = turn + 1 < len(dialogue.turns) and asks_if_served(dialogue.turns[turn].response, dialogue.locale)
    return question or is_recorded(dialogue, turn, "answer")
