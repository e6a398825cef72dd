"""The smallest possible detector plug-in: this module, and one entry point of the group `labelgen.detectors`."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal

EVIDENCE = ("request",)
PRECISION = {"bad": 0.9}
FAMILY = "visible failure"


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads a sigh in a request; votes bad for the turn before."""
    for t in range(1, len(dialogue.turns)):
        if "sigh" in dialogue.turns[t].request:
            yield Signal(kind="sigh", turns=(t - 1,), vote="bad", strength=0.5, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """A request follows, which may sigh."""
    return turn + 1 < len(dialogue.turns)
