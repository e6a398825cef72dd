"""What users said themselves, as an annotation by them: a reference where nobody else judged a log."""

from collections import defaultdict

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, At, AtDialogue, AtTurn, Label
from labelgen.feedback.signal import concerns_dialogue, find_signals

TASK = "quality"
USER = "user"
"""Annotator name, and kind, of users."""


def user_annotation(dialogue: Dialogue, name: str = USER) -> Annotation | None:
    """The explicit feedback in a dialogue (thumbs, ratings, answers to "did I answer your question?") as labels of quality by an
    annotator of kind `user`; None without any.

    Feedback at a turn labels the turn that it is about, feedback on the whole dialogue the dialogue. A place with feedback that
    contradicts itself has no label. Feedback is given by few users, and seldom by the indifferent: what holds on it need not
    hold on the other dialogues."""
    votes: defaultdict[At, set[str]] = defaultdict(set)
    for signal in find_signals(dialogue):
        if not signal.explicit:
            continue
        whole = concerns_dialogue(signal, dialogue) and not signal.evidence
        places: tuple[At, ...] = (AtDialogue(),) if whole else tuple(map(AtTurn, signal.turns))
        for at in places:
            votes[at].add(signal.vote)
    labels = tuple(Label(TASK, at, next(iter(said))) for at, said in votes.items() if len(said) == 1)
    return Annotation(name, USER, labels) if labels else None
