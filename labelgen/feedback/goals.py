"""The goals that evidence attaches to: those of an annotator, else provisional ones."""

from collections.abc import Sequence

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.evidence import Signal
from labelgen.data.label_set import domain_of_name
from labelgen.data.labels import AtGoal, division
from labelgen.feedback.wording import gap_s

LONG_GAP_S = 300.0

Goals = tuple[tuple[int, ...], ...]


def goals_of(dialogue: Dialogue, annotator: str | None) -> tuple[Goals, str]:
    """The turns of each goal, and in words whose goals they are.

    Those of `annotator` where the dialogue has them. Else provisional ones: the whole dialogue where the assistant
    believed in one domain at most; else each run of turns of one domain that holds no gap of five minutes. A turn
    without a domain goes on with the run that it stands in."""
    annotation = dialogue.annotation(annotator) if annotator is not None else None
    if annotation is not None:
        labels = division(annotation)
        if labels is not None:
            return tuple(sorted(own.at.turns for own in labels if isinstance(own.at, AtGoal))), f"goals by {annotator}"
    if not dialogue.turns:
        return (), "no goals"
    if len({domain_of(turn) for turn in dialogue.turns} - {None}) <= 1:
        return (tuple(range(len(dialogue.turns))),), "provisional goal: the whole dialogue"
    return _runs(dialogue.turns), "provisional goal: a run of one domain"


def domain_of(turn: Turn) -> str | None:
    """The domain that the live assistant believed the turn to be of: `domain`, else what stands before the dot in the
    first intent of its hypothesis."""
    if turn.domain is not None:
        return turn.domain
    for intent in turn.hypothesis.intents if turn.hypothesis else ():
        return domain_of_name(intent.name)
    return None


def _runs(turns: Sequence[Turn]) -> Goals:
    runs: list[list[int]] = []
    running: str | None = None
    for t, turn in enumerate(turns):
        domain = domain_of(turn)
        gap = gap_s(turns[t - 1], turn) if t else None
        changed = domain is not None and running is not None and domain != running
        if not runs or changed or (gap is not None and gap > LONG_GAP_S):
            runs.append([])
            running = None
        runs[-1].append(t)
        running = domain or running
    return tuple(tuple(run) for run in runs)


def concerning(signals: Sequence[Signal], goal: Sequence[int], goals: Goals) -> tuple[Signal, ...]:
    """The signals about a goal: those that speak of a turn of it, or of turns that serve no goal and follow it before
    any other goal goes on (thanks after a farewell speak of what was done before)."""
    served = {turn: other for other in goals for turn in other}
    found = []
    for signal in signals:
        meant = {served[t] for t in signal.turns if t in served}
        if not meant and signal.turns:
            earlier = [t for t in served if t < signal.turns[0]]
            meant = {served[max(earlier)]} if earlier else set()
        if tuple(goal) in meant:
            found.append(signal)
    return tuple(found)
