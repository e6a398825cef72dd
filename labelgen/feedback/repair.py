"""Requests that failed and were put again with success: what the later turn tells of the earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.feedback.posterior import Posterior
from labelgen.feedback.projection import Projection, project
from labelgen.feedback.signal import concerns_dialogue

REPAIRS = ("rephrase", "correction")
"""Kinds whose evidence is the same request, put another way."""

CONFIRMED = 0.6
"""From this posterior of good on, what the assistant believed is taken as what was meant; below 1 minus it, as not."""

SILENT_GOOD = 0.85
"""How often a repair is taken to have served of which nobody spoke. A belief: in simulated logs nine in ten had, and real
users are more apt to leave in silence."""

REPEATED = 0.5
"""The least share of the earlier request's words that a later one has to hold to be the same request put again; "no, the
other one" holds none."""


@dataclass(frozen=True, slots=True)
class Repair:
    """The turn `by` put a failed request again, and was served.

    good: posterior that it was served. heard: signals say so, and not silence alone. intents, slots: names, as the
    assistant believed them at `by`; projection: where in the failed request each of the slots stands. origin: in words."""

    by: int
    good: float
    heard: bool
    intents: tuple[str, ...]
    slots: tuple[str, ...]
    projection: Projection
    origin: str


def asked_again(turn: int, signals: Sequence[Signal]) -> dict[int, str]:
    """The later turns that put this turn's request again, each with the kind of signal that says so."""
    return {e: s.kind for s in signals if s.kind in REPAIRS and s.turns == (turn,) for e in s.evidence if e > turn}


def believed(dialogue: Dialogue, turn: int) -> tuple[str, ...]:
    """The intents that the assistant believed in at a turn."""
    hypothesis = dialogue.turns[turn].hypothesis
    return tuple(dict.fromkeys(intent.name for intent in hypothesis.intents)) if hypothesis else ()


def repair_of(
    dialogue: Dialogue, turn: int, signals: Sequence[Signal], posteriors: Mapping[int, Posterior]
) -> Repair | None:
    """How the request of a failed turn was put again with success: by the first turn that repeats it and was served, or,
    where a repeat failed too, by what repaired that one. None where there is none, and where the turn only answered
    what the assistant had asked.

    posteriors: of the turns that signals speak of. Of a repair that nobody spoke of it is SILENT_GOOD."""
    if any(s.explicit and turn in s.evidence and turn not in s.turns for s in signals):
        return None
    spoken = {t for s in signals if not concerns_dialogue(s, dialogue) for t in s.turns}
    waiting = asked_again(turn, signals)
    while waiting:
        by = min(waiting)
        kind = waiting.pop(by)
        posterior = posteriors.get(by)
        if posterior is not None and posterior.good <= 1.0 - CONFIRMED:
            waiting |= asked_again(by, signals)
            continue
        heard = by in spoken
        good = posterior.good if posterior is not None else 0.5 if heard else SILENT_GOOD
        hypothesis, names = dialogue.turns[by].hypothesis, believed(dialogue, by)
        if good < CONFIRMED or hypothesis is None or not names:
            continue
        spans = [(slot.start, slot.end) for slot in hypothesis.slots]
        projection = project(dialogue.turns[turn].request, dialogue.turns[by].request, spans)
        if projection.shared >= REPEATED:
            served = "nobody complained of it" if posterior is None else posterior.origin
            slots = tuple(slot.name for slot in hypothesis.slots)
            origin = f"projected from the {kind} at turn {by}, {served}"
            return Repair(by, good, heard, names, slots, projection, origin)
    return None
