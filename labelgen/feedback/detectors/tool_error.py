"""Tool error: a tool that the assistant called failed."""

from collections.abc import Iterator

from labelgen.data.dialogue import TOOL, Dialogue, Signal

EVIDENCE = ("steps",)
PRECISION = {"bad": 0.65}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads the errors of a turn's steps.

    Votes bad for the turn (strength .8); weaker (.3) where every tool that failed was called again without an error; implicit.
    Users see an error only in the response, so a failure that the assistant got around says little."""
    for t, turn in enumerate(dialogue.turns):
        last = {step.name: step for step in turn.steps if step.kind == TOOL}
        if any(step.kind == TOOL and step.error is not None for step in turn.steps):
            strength = 0.8 if any(step.error is not None for step in last.values()) else 0.3
            yield Signal(kind="tool_error", turns=(t,), vote="bad", strength=strength, evidence=(t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the turn has calls of tools."""
    return any(step.kind == TOOL for step in dialogue.turns[turn].steps)
