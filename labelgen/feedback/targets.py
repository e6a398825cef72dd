"""From signals to targets: what feedback says about each task. The one place where knowledge of feedback and names of
tasks meet."""

from collections.abc import Mapping, Sequence

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal, Target
from labelgen.data.labels import AtSpan, AtTurn
from labelgen.feedback.goals import goals_of
from labelgen.feedback.items import goal_items, rated_items, turn_items
from labelgen.feedback.posterior import Method, Posterior

CONFIRMED = 0.6
"""From this posterior of good on, what the assistant believed is taken as what was meant; below 1 minus it, as not."""

REPAIRS = ("rephrase", "correction")
"""Kinds whose evidence is the same request, put another way."""


def feedback_targets(
    dialogue: Dialogue, signals: Sequence[Signal], method: Method, annotator: str | None = None
) -> tuple[Target, ...]:
    """Targets of one dialogue from these signals of it: outcome of goals, quality of turns and of the dialogue, intents
    and slots of turns whose hypothesis was confirmed, and "not these intents" of turns that failed and were repaired.

    annotator: whose goals the evidence attaches to, where the dialogue has them; else goals are provisional. Evidence
    that cancels out gives no target."""
    of_turns = _turn_posteriors(dialogue, signals, method)
    return (
        *_outcomes(dialogue, signals, method, annotator),
        *_qualities(dialogue, signals, method, of_turns),
        *_understanding(dialogue, signals, of_turns),
    )


def _outcomes(dialogue: Dialogue, signals: Sequence[Signal], method: Method, annotator: str | None) -> list[Target]:
    goals, whose = goals_of(dialogue, annotator)
    found = []
    for item in goal_items(dialogue, signals, goals):
        posterior = method(item)
        if posterior is not None and posterior.weight > 0.0:
            both = (("success", posterior.good), ("failure", 1.0 - posterior.good))
            found.append(Target("outcome", item.at, both, None, posterior.weight, f"{posterior.origin}; {whose}"))
    return found


def _turn_posteriors(dialogue: Dialogue, signals: Sequence[Signal], method: Method) -> dict[int, Posterior]:
    found = {item.turns[0]: method(item) for item in turn_items(dialogue, signals)}
    return {turn: p for turn, p in found.items() if p is not None and p.weight > 0.0}


def _qualities(
    dialogue: Dialogue, signals: Sequence[Signal], method: Method, of_turns: Mapping[int, Posterior]
) -> list[Target]:
    found = [
        Target("quality", AtTurn(turn), _quality(posterior.good), None, posterior.weight, posterior.origin)
        for turn, posterior in of_turns.items()
    ]
    for item in rated_items(dialogue, signals):
        whole = method(item)
        if whole is not None and whole.weight > 0.0:
            found.append(Target("quality", item.at, _quality(whole.good), None, whole.weight, whole.origin))
    return found


def _quality(good: float) -> tuple[tuple[str, float], ...]:
    """Over bad, fair and good: a share of p (1 - p), at most a quarter, is fair, taken from both sides alike."""
    fair = good * (1.0 - good)
    return (("bad", 1.0 - good - fair / 2.0), ("fair", fair), ("good", good - fair / 2.0))


def _understanding(dialogue: Dialogue, signals: Sequence[Signal], of_turns: Mapping[int, Posterior]) -> list[Target]:
    found = []
    for t, posterior in of_turns.items():
        hypothesis, names = dialogue.turns[t].hypothesis, _believed(dialogue, t)
        if hypothesis is None or not names:
            continue
        if posterior.good >= CONFIRMED:
            weight, origin = posterior.weight, f"confirmed hypothesis; {posterior.origin}"
            found.append(Target("intents", AtTurn(t), tuple((n, 1.0) for n in names), None, weight, origin))
            spans = dict.fromkeys((AtSpan(t, s.start, s.end), s.name) for s in hypothesis.slots)
            found += [Target("slots", at, ((name, 1.0),), None, weight, origin) for at, name in spans]
            found.append(Target("slots", AtTurn(t), (), None, weight, origin))
        elif posterior.good <= 1.0 - CONFIRMED and _understood_otherwise(dialogue, t, signals):
            origin = f"failed hypothesis, another one when asked again; {posterior.origin}"
            found.append(Target("intents", AtTurn(t), None, names, posterior.weight, origin, complete=False))
    return found


def _understood_otherwise(dialogue: Dialogue, turn: int, signals: Sequence[Signal]) -> bool:
    """The user put the request another way, and the assistant then believed in other intents.

    A failure alone does not blame the intent: in the simulated log, whose truth is known, the intents of three failed
    turns in four were right, and with this condition those of one in four."""
    again = {e for s in signals if s.kind in REPAIRS and s.turns == (turn,) for e in s.evidence}
    first = set(_believed(dialogue, turn))
    return any(set(later) != first for later in (_believed(dialogue, e) for e in again) if later)


def _believed(dialogue: Dialogue, turn: int) -> tuple[str, ...]:
    hypothesis = dialogue.turns[turn].hypothesis
    return tuple(dict.fromkeys(intent.name for intent in hypothesis.intents)) if hypothesis else ()
