"""Where the simulated assistant failed, as it is recorded beside the truth.

A turn's `extra` names under `faults` the stages that failed at it, in order, harmful or not; the dialogue's `extra` lists
under `causes` the goals that failed, each with its first turn, the earliest turn whose mistake was not recovered from,
and the first stage that failed there; both are null where the user gave up without any. No model reads `extra`."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from labelgen.data.dialogue import Turn
from labelgen.simulator.talk import Talk

STAGES = ("wake", "recognition", "intent", "slot", "entity", "result")
"""The pipeline: the microphone opens, words are recognized, intent and slots are understood, slots are looked up, and
it is done what was asked."""


def with_faults(talk: Talk) -> tuple[Turn, ...]:
    """The turns of a dialogue, with the stages that failed."""
    return tuple(
        replace(turn, extra=_text({"faults": truth.faults})) if truth.faults else turn
        for turn, truth in zip(talk.turns, talk.truths, strict=True)
    )


def causes(talk: Talk, origin: str | None = None) -> str | None:
    """The `extra` of a dialogue. origin: the corpus's dialogue that it was grown from, as `corpus`."""
    failed: Sequence[dict[str, object]] = [
        {
            "goal": goal.turns[0],
            "turn": goal.broken_at,
            "stage": None if goal.broken_at is None else talk.truths[goal.broken_at].faults[0],
        }
        for goal in sorted(talk.goals, key=lambda goal: goal.turns)
        if goal.failed
    ]
    found: dict[str, object] = {"causes": failed} if failed else {}
    if origin is not None:
        found["corpus"] = origin
    return _text(found) if found else None


def _text(fields: dict[str, object]) -> str:
    return msgspec.json.encode(fields).decode()
