"""Targets from signals: what feedback says about each task. The only module that knows both feedback and names of tasks."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import (
    GOALS,
    QUALITY_NAMES,
    At,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    QualityName,
    Target,
    division,
)
from labelgen.feedback.items import goal_items, goals_of, rated_items, ratings, turn_items
from labelgen.feedback.links import GoalLink, goal_links
from labelgen.feedback.posterior import Method, Posterior, posterior
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

    annotator: whose goals, where the dialogue has them; else goals are provisional. Without a prior, evidence that cancels
    out gives no target. A user's rating is the quality, whatever the other evidence."""
    goals, whose = goals_of(dialogue, annotator, signals)
    of_goals = [(item.at, method(item)) for item in goal_items(dialogue, signals, goals)]
    turns = list(turn_items(dialogue, signals))
    of_turns = [method(item) for item in turns]
    informative = {turn: p for turn, p in enumerate(of_turns) if p is not None and _is_informative(p)}
    rated = ratings((*turns, *rated_items(dialogue, signals)))
    with_ratings = [_with_rating(p, rated.get(AtTurn(turn))) for turn, p in enumerate(of_turns)]
    whole = dialogue_posterior([p for _, p in of_goals], with_ratings)
    targets = [
        _verdict("outcome", at, p, _outcomes, f"{p.origin}; {whose}")
        for at, p in of_goals
        if p is not None and _is_informative(p)
    ]
    by_signals: list[tuple[At, Posterior]] = [(AtTurn(turn), p) for turn, p in informative.items()]
    by_signals += [(AtDialogue(), whole)] if whole is not None and _is_informative(whole) else []
    targets += [_verdict("quality", at, p, _qualities, p.origin) for at, p in by_signals if at not in rated]
    targets += [_rated(at, name) for at, name in rated.items()]
    annotation = None if annotator is None else dialogue.annotation(annotator)
    if annotation is None or division(annotation) is None:
        targets += [_same_goal(link) for link in goal_links(dialogue, signals)]
    return (*targets, *_understanding(dialogue, signals, informative))


def _same_goal(link: GoalLink) -> Target:
    """The probability that two turns serve one goal; other turns are unknown. The weight is 1, since an even probability says
    much where most neighbors serve one goal."""
    return Target(GOALS, AtGoal((link.earlier, link.later)), (("goal", link.same),), origin=link.kind, complete=False)


def dialogue_posterior(goals: Sequence[Posterior | None], turns: Sequence[Posterior | None]) -> Posterior | None:
    """The posterior of a dialogue that nobody rated, from those of its goals and turns: the mean of the goals' mean and the
    turns' mean; the same for the priors. None where a part is unknown.

    Few users rate, and those who do are not representative. Users care about what they got and about what it took, so both
    count one half. In the simulated log, where the truth weighs them equally, this ranks dialogues as well as a model
    trained on the truth; real ratings are less simple (docs/explanation/decisions.md)."""
    parts = [[part for part in level if part is not None] for level in (goals, turns)]
    if not any(parts) or sum(map(len, parts)) < len(goals) + len(turns):
        return None
    good = fmean(fmean(part.good for part in level) for level in parts if level)
    priors = [[part.prior for part in level if part.prior is not None] for level in parts]
    known = list(map(len, priors)) == list(map(len, parts))
    prior = fmean(fmean(level) for level in priors if level) if known else None
    return posterior(good, f"how its {len(goals)} goals and {len(turns)} turns went", prior)


def _is_informative(p: Posterior) -> bool:
    """An even posterior says nothing, unless there is a prior."""
    return p.prior is not None or p.weight > 0.0


def _with_rating(p: Posterior | None, name: QualityName | None) -> Posterior | None:
    """The posterior of a turn, by the user's rating where there is one."""
    if name is None:
        return p
    good = posterior_of(_rated(AtDialogue(), name))
    return posterior(good, f"{name} by rating", None if p is None else p.prior)


def _rated(at: At, name: QualityName) -> Target:
    """The rating with its prior precision; the rest is shared by the other names."""
    right = reliability("rating").precision["good"]
    wrong = (1.0 - right) / (len(QUALITY_NAMES) - 1)
    names = tuple((each, right if each == name else wrong) for each in QUALITY_NAMES)
    return Target("quality", at, names, None, 2.0 * right - 1.0, f"{name} by rating")


def _verdict(task: str, at: At, p: Posterior, names: Callable[[float], Names], origin: str) -> Target:
    """With a prior the weight is 1, since training divides the prior out; without, it is that of the posterior."""
    prior = None if p.prior is None else names(p.prior)
    weight = p.weight if prior is None else 1.0
    return Target(task, at, names(p.good), None, weight, origin, prior=prior)


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
