"""The feedback that a log itself recorded, and which turns it speaks of."""

from collections.abc import Iterator
from typing import NamedTuple

from labelgen.data.dialogue import Dialogue, Feedback


class Recorded(NamedTuple):
    """turns: those that are meant, ascending, at least one. evidence: the turn it stands on; () for the dialogue's."""

    feedback: Feedback
    turns: tuple[int, ...]
    evidence: tuple[int, ...]


def recorded_feedback(dialogue: Dialogue, kind: str) -> Iterator[Recorded]:
    """The feedback of one kind: first the dialogue's, which speaks of all turns, then that of each turn, which speaks of
    the turn it stands on; of another one where `about` names it.

    Feedback about a turn that the dialogue lacks is left out: it speaks of nothing. A record that holds some is rejected
    when it is read (`no_such_turn`), so only dialogues made in memory can."""
    count = len(dialogue.turns)
    for feedback in dialogue.feedback:
        if feedback.kind == kind and count:
            yield from _recorded(feedback, tuple(range(count)), (), count)
    for t, turn in enumerate(dialogue.turns):
        for feedback in turn.feedback:
            if feedback.kind == kind:
                yield from _recorded(feedback, (t,), (t,), count)


def recorded(dialogue: Dialogue, turn: int, kind: str) -> bool:
    """Whether the log holds feedback of this kind about this turn, or about the dialogue as a whole."""
    return any(turn in turns for _, turns, _ in recorded_feedback(dialogue, kind))


def _recorded(feedback: Feedback, meant: tuple[int, ...], evidence: tuple[int, ...], count: int) -> Iterator[Recorded]:
    turns = meant if feedback.about is None else (feedback.about,)
    if 0 <= turns[0] < count:
        yield Recorded(feedback, turns, evidence)
