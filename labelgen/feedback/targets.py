"""Targets from signals: what feedback says about each task. The only module that knows both feedback and names of tasks."""

from collections.abc import Callable, Mapping, Sequence

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import (
    GOALS,
    QUALITY_NAMES,
    At,
    AtGoal,
    AtSpan,
    AtTurn,
    Target,
    division,
)
from labelgen.feedback.items import FeedbackItem, Method, Posterior, goals_of, items_of
from labelgen.feedback.links import GoalLink, goal_links
from labelgen.feedback.repair import CONFIRMED, Repair, predicted_intents, repair_of, repeats
from labelgen.feedback.signal import reliability

VERDICTS = ("outcome", "quality")
"""Tasks whose targets say how well something went; exactly one of their names applies."""

Names = tuple[tuple[str, float], ...]


def feedback_targets(
    dialogue: Dialogue, signals: Sequence[Signal], method: Method, annotator: str | None = None
) -> tuple[Target, ...]:
    """Targets of one dialogue from these signals: outcome of goals; quality of turns and of the dialogue; intents and slots
    of turns with a confirmed hypothesis; those of failed turns by their repair; "not these intents" for failed turns whose
    repair was understood otherwise; without an annotator's goals, whether pairs of turns serve one goal.

    annotator: whose goals, where the dialogue has them; else goals are provisional. Of the rules, evidence that cancels out gives no
    target. What a user rated in the middle of the scale and nothing else is fair."""
    whose = goals_of(dialogue, annotator, signals)[1]
    items = list(items_of(dialogue, signals, annotator))
    found = [(item, p) for item, p in zip(items, method(items), strict=True) if p is not None and p.weight > 0.0]
    middle = {item.at for item in items if _is_rated_fair(item)}
    outcomes = [(item.at, p) for item, p in found if isinstance(item.at, AtGoal)]
    targets = [_verdict("outcome", at, p, _outcomes, f"{p.origin}; {whose}") for at, p in outcomes]
    of_quality = [(item.at, p) for item, p in found if not isinstance(item.at, AtGoal) and item.at not in middle]
    targets += [_verdict("quality", at, p, _qualities, p.origin) for at, p in of_quality]
    targets += [_fair(at) for at in sorted(middle, key=str) if not isinstance(at, AtGoal)]
    annotation = None if annotator is None else dialogue.annotation(annotator)
    if annotation is None or division(annotation) is None:
        targets += [_same_goal(link) for link in goal_links(dialogue, signals)]
    return (
        *targets,
        *_understanding(dialogue, signals, {at.turn: p for at, p in of_quality if isinstance(at, AtTurn)}),
    )


def _is_rated_fair(item: FeedbackItem) -> bool:
    return {s.vote for s in item.signals if s.kind == "rating"} == {"fair"}


def _same_goal(link: GoalLink) -> Target:
    """The probability that two turns serve one goal; other turns are unknown. The weight is 1, since an even probability says
    much where most neighbors serve one goal."""
    return Target(GOALS, AtGoal((link.earlier, link.later)), (("goal", link.same),), origin=link.kind, complete=False)


def _fair(at: At) -> Target:
    """A rating in the middle with its declared precision; the rest is shared by the other names."""
    right = reliability("rating").precision["good"]
    wrong = (1.0 - right) / (len(QUALITY_NAMES) - 1)
    names = tuple((name, right if name == "fair" else wrong) for name in QUALITY_NAMES)
    return Target("quality", at, names, None, 2.0 * right - 1.0, "fair by rating")


def _verdict(task: str, at: At, p: Posterior, names: Callable[[float], Names], origin: str) -> Target:
    return Target(task, at, names(p.good), None, p.weight, origin)


def _outcomes(good: float) -> Names:
    return ("success", good), ("failure", 1.0 - good)


def _qualities(good: float) -> Names:
    """A share of p (1 - p), at most a quarter, is fair, taken from both sides alike."""
    fair = good * (1.0 - good)
    return ("bad", 1.0 - good - fair / 2.0), ("fair", fair), ("good", good - fair / 2.0)


def posterior_of(target: Target) -> float:
    """The probability that it went well, from which the target of a verdict was made."""
    names = dict(target.distribution or ())
    return names["success"] if target.task == "outcome" else names["good"] + names["fair"] / 2.0


def _understanding(dialogue: Dialogue, signals: Sequence[Signal], of_turns: Mapping[int, Posterior]) -> list[Target]:
    targets = []
    for t, p in of_turns.items():
        hypothesis, names = dialogue.turns[t].hypothesis, predicted_intents(dialogue, t)
        if p.good >= CONFIRMED and hypothesis is not None:
            # A confirmed empty hypothesis says that nothing was asked for.
            weight, origin = p.weight, f"confirmed hypothesis; {p.origin}"
            targets.append(Target("intents", AtTurn(t), tuple((n, 1.0) for n in names), None, weight, origin))
            if hypothesis.slots is None:
                continue
            spans = dict.fromkeys((AtSpan(t, s.start, s.end), s.name) for s in hypothesis.slots)
            targets += [Target("slots", at, ((name, 1.0),), None, weight, origin) for at, name in spans]
            targets.append(Target("slots", AtTurn(t), (), None, weight, origin))
        elif p.good <= 1.0 - CONFIRMED:
            repair = repair_of(dialogue, t, signals, of_turns)
            projected = _projected(t, names, p, repair) if repair is not None else []
            targets += projected
            if not any(target.task == "intents" for target in projected) and _understood_otherwise(
                dialogue, t, signals
            ):
                origin = f"failed hypothesis, another one when asked again; {p.origin}"
                targets.append(Target("intents", AtTurn(t), None, names, p.weight, origin, complete=False))
    return targets


def _projected(turn: int, names: Sequence[str], failed: Posterior, repair: Repair) -> list[Target]:
    """What a failed turn meant, by its repair; `names`: the intents that were predicted when it failed.

    If two hypotheses differ, one is wrong, and silence does not say which. So intents are projected where the two agree, or
    where signals confirm the later one. Other slots are unknown, unless the projection is complete."""
    weight, origin = (1.0 - failed.good) * repair.good, f"{repair.origin}; this one: {failed.origin}"
    targets = []
    if repair.observed or set(repair.intents) == set(names):
        targets.append(Target("intents", AtTurn(turn), tuple((n, 1.0) for n in repair.intents), None, weight, origin))
    complete = repair.projection.complete
    for span, name in dict.fromkeys(zip(repair.projection.spans, repair.slots, strict=True)):
        if span is not None:
            targets.append(Target("slots", AtSpan(turn, *span), ((name, 1.0),), None, weight, origin, complete))
    if complete:
        targets.append(Target("slots", AtTurn(turn), (), None, weight, origin))
    return targets


def _understood_otherwise(dialogue: Dialogue, turn: int, signals: Sequence[Signal]) -> bool:
    """Whether the user asked again in other words, and the assistant then predicted other intents.

    A failure alone does not blame the intent: in the simulated log, whose truth is known, the intents of three failed
    turns in four were right, and with this condition those of one in four."""
    first = set(predicted_intents(dialogue, turn))
    later = (set(predicted_intents(dialogue, again)) for again in repeats(turn, signals))
    return bool(first) and any(names != first for names in later if names)
