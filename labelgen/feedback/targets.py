"""From signals to targets: what feedback says about each task. The one place where knowledge of feedback and names of
tasks meet."""

from collections.abc import Callable, Mapping, Sequence

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal, Target
from labelgen.data.labels import At, AtDialogue, AtSpan, AtTurn
from labelgen.data.quality import QUALITY_NAMES, QualityName
from labelgen.feedback.dialogue_quality import whole_of
from labelgen.feedback.goals import goals_of
from labelgen.feedback.items import goal_items, rated_items, ratings, turn_items
from labelgen.feedback.posterior import PRIOR_PRECISION, Method, Posterior
from labelgen.feedback.repair import CONFIRMED, Repair, asked_again, believed, repair_of

VERDICTS = ("outcome", "quality")
"""Tasks whose targets say how well something went; one of their names holds."""

Names = tuple[tuple[str, float], ...]


def feedback_targets(
    dialogue: Dialogue, signals: Sequence[Signal], method: Method, annotator: str | None = None
) -> tuple[Target, ...]:
    """Targets of one dialogue from these signals of it: outcome of goals, quality of turns and of the dialogue, intents
    and slots of turns whose hypothesis was confirmed, those of failed turns by the turn that repaired them, and "not
    these intents" of failed turns whose repair was understood otherwise.

    annotator: whose goals the evidence attaches to, where the dialogue has them; else goals are provisional. Without a
    prior, evidence that cancels out gives no target. A rating is quality by the user's own word, whatever else
    is evident."""
    goals, whose = goals_of(dialogue, annotator)
    of_goals = [(item.at, method(item)) for item in goal_items(dialogue, signals, goals)]
    turns = list(turn_items(dialogue, signals))
    of_turns = [method(item) for item in turns]
    told = {turn: own for turn, own in enumerate(of_turns) if own is not None and _tells(own)}
    rated = ratings((*turns, *rated_items(dialogue, signals)))
    heard = [_as_rated(own, rated.get(AtTurn(turn))) for turn, own in enumerate(of_turns)]
    whole = whole_of([own for _, own in of_goals], heard)
    return (
        *(_outcome(at, own, whose) for at, own in of_goals if own is not None and _tells(own)),
        *(_quality(AtTurn(turn), own) for turn, own in told.items() if AtTurn(turn) not in rated),
        *(
            _quality(AtDialogue(), own)
            for own in (whole,)
            if own is not None and _tells(own) and AtDialogue() not in rated
        ),
        *(_rated(at, name) for at, name in rated.items()),
        *_understanding(dialogue, signals, told),
    )


def _tells(own: Posterior) -> bool:
    """An even posterior tells nothing, unless it was not even before."""
    return own.prior is not None or own.weight > 0.0


def _outcome(at: At, told: Posterior, whose: str) -> Target:
    return _verdict("outcome", at, told, _outcomes, f"{told.origin}; {whose}")


def _quality(at: At, told: Posterior) -> Target:
    return _verdict("quality", at, told, _qualities, told.origin)


def _as_rated(own: Posterior | None, name: QualityName | None) -> Posterior | None:
    """The posterior of a turn, by the user's rating where there is one."""
    if name is None:
        return own
    good = posterior_of(_rated(AtDialogue(), name))
    return Posterior(good, abs(2.0 * good - 1.0), f"{name} by rating", None if own is None else own.prior)


def _rated(at: At, name: QualityName) -> Target:
    """As sure as a rating is; the rest is shared by the other names."""
    right = PRIOR_PRECISION["rating"]
    slip = (1.0 - right) / (len(QUALITY_NAMES) - 1)
    names = tuple((each, right if each == name else slip) for each in QUALITY_NAMES)
    return Target("quality", at, names, None, 2.0 * right - 1.0, f"{name} by rating")


def _verdict(task: str, at: At, told: Posterior, names: Callable[[float], Names], origin: str) -> Target:
    """With its prior, evidence weighs by what it says, and the whole of it counts; without, by how sure it is."""
    prior = None if told.prior is None else names(told.prior)
    weight = told.weight if prior is None else 1.0
    return Target(task, at, names(told.good), None, weight, origin, prior=prior)


def _outcomes(good: float) -> Names:
    return ("success", good), ("failure", 1.0 - good)


def _qualities(good: float) -> Names:
    """A share of p (1 - p), at most a quarter, is fair, taken from both sides alike."""
    fair = good * (1.0 - good)
    return ("bad", 1.0 - good - fair / 2.0), ("fair", fair), ("good", good - fair / 2.0)


def posterior_of(target: Target) -> float:
    """The probability that it went well: that from which the target of a verdict was made, or of what a user rated so."""
    names = dict(target.distribution or ())
    return names["success"] if target.task == "outcome" else names["good"] + names["fair"] / 2.0


def _understanding(dialogue: Dialogue, signals: Sequence[Signal], of_turns: Mapping[int, Posterior]) -> list[Target]:
    found = []
    for t, posterior in of_turns.items():
        hypothesis, names = dialogue.turns[t].hypothesis, believed(dialogue, t)
        if posterior.good >= CONFIRMED and hypothesis is not None:
            # An empty hypothesis that was confirmed says that nothing was asked for.
            weight, origin = posterior.weight, f"confirmed hypothesis; {posterior.origin}"
            found.append(Target("intents", AtTurn(t), tuple((n, 1.0) for n in names), None, weight, origin))
            spans = dict.fromkeys((AtSpan(t, s.start, s.end), s.name) for s in hypothesis.slots)
            found += [Target("slots", at, ((name, 1.0),), None, weight, origin) for at, name in spans]
            found.append(Target("slots", AtTurn(t), (), None, weight, origin))
        elif posterior.good <= 1.0 - CONFIRMED:
            repair = repair_of(dialogue, t, signals, of_turns)
            projected = _projected(t, names, posterior, repair) if repair is not None else []
            found += projected
            if not any(p.task == "intents" for p in projected) and _understood_otherwise(dialogue, t, signals):
                origin = f"failed hypothesis, another one when asked again; {posterior.origin}"
                found.append(Target("intents", AtTurn(t), None, names, posterior.weight, origin, complete=False))
    return found


def _projected(turn: int, names: Sequence[str], failed: Posterior, repair: Repair) -> list[Target]:
    """What a failed turn meant, by the turn that repaired it; `names`: the intents that were believed when it failed.

    Of two readings that differ one is wrong, and silence does not say which: intents are projected where the two agree,
    or where signals confirm the later one. Slots are unknown beside the projected ones, unless the projection is
    complete."""
    weight, origin = (1.0 - failed.good) * repair.good, f"{repair.origin}; this one: {failed.origin}"
    found = []
    if repair.heard or set(repair.intents) == set(names):
        found.append(Target("intents", AtTurn(turn), tuple((n, 1.0) for n in repair.intents), None, weight, origin))
    closed = repair.projection.complete
    placed = dict.fromkeys(zip(repair.projection.spans, repair.slots, strict=True))
    for span, name in placed:
        if span is not None:
            found.append(Target("slots", AtSpan(turn, *span), ((name, 1.0),), None, weight, origin, closed))
    if closed:
        found.append(Target("slots", AtTurn(turn), (), None, weight, origin))
    return found


def _understood_otherwise(dialogue: Dialogue, turn: int, signals: Sequence[Signal]) -> bool:
    """The user put the request another way, and the assistant then believed in other intents.

    A failure alone does not blame the intent: in the simulated log, whose truth is known, the intents of three failed
    turns in four were right, and with this condition those of one in four."""
    first = set(believed(dialogue, turn))
    later = (set(believed(dialogue, again)) for again in asked_again(turn, signals))
    return bool(first) and any(names != first for names in later if names)
