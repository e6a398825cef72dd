"""Items that are judged: turns, goals and dialogues, each with the signals about it; and the rules that turn signals into a probability."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.label_sets import domain_of_name
from labelgen.data.labels import At, AtDialogue, AtGoal, AtTurn, division
from labelgen.feedback.cues import Vote, gap_s, limits_s
from labelgen.feedback.signal import EARLIER, concerns_dialogue, find_signals, reliability

FADE_TURNS = 2.0
"""A turn says less about its goal the more turns follow it: the strength halves every so many turns."""

IN_PASSING = ("answer", "gratitude", "stop")
"""Kinds found in words that ask for nothing: a turn of such words takes its goal no further."""

OF_GOALS = ("abandonment",)
"""Kinds about goals, which say nothing about the turn itself: an unanswered question may have been the right one
(docs/explanation/decisions.md)."""

REPAIRS = ("correction", "rephrase")
"""Kinds whose evidence is a turn that asks for the same again."""

Goals = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class FeedbackItem:
    """One turn, goal or dialogue to be judged, with the signals about it; often there are none."""

    dialogue: Dialogue
    at: AtTurn | AtGoal | AtDialogue
    signals: tuple[Signal, ...]

    @property
    def turns(self) -> tuple[int, ...]:
        match self.at:
            case AtTurn(turn):
                return (turn,)
            case AtGoal(turns):
                return turns
            case AtDialogue():
                return tuple(range(len(self.dialogue.turns)))

    @property
    def domain(self) -> str | None:
        """The first domain that the assistant predicted in these turns; None where it predicted none."""
        domains = (domain_of(self.dialogue.turns[turn]) for turn in self.turns)
        return next((domain for domain in domains if domain is not None), None)


def items_of(dialogue: Dialogue, signals: Sequence[Signal], annotator: str | None = None) -> Iterator[FeedbackItem]:
    """All items of a dialogue. annotator: whose goals, where the dialogue has them."""
    yield from goal_items(dialogue, signals, goals_of(dialogue, annotator, signals)[0])
    yield from turn_items(dialogue, signals)
    yield from dialogue_items(dialogue, signals)


def items_at(dialogue: Dialogue, places: Sequence[At]) -> list[FeedbackItem]:
    """The items at these places of a dialogue; those about goals are all goals. A record without signals has those that the detectors
    find."""
    signals = dialogue.signals or find_signals(dialogue)
    goals = tuple(at.turns for at in places if isinstance(at, AtGoal))
    found: dict[At, FeedbackItem] = {item.at: item for item in goal_items(dialogue, signals, goals)}
    units = {type(at) for at in places}
    found.update((item.at, item) for item in (turn_items(dialogue, signals) if AtTurn in units else ()))
    found.update((item.at, item) for item in (dialogue_items(dialogue, signals) if AtDialogue in units else ()))
    return [found[at] for at in places]


def goal_items(dialogue: Dialogue, signals: Sequence[Signal], goals: Goals) -> Iterator[FeedbackItem]:
    """Every goal, with the signals that concern it.

    Trouble on the way was repaired or given up later. It says little about the outcome, so all of it is one kind, EARLIER,
    and faded."""
    passing = {t for s in signals if s.kind in IN_PASSING for t in s.evidence if t not in s.turns}
    for goal in goals:
        last = max((turn for turn in goal if turn not in passing), default=0)
        about = concerning(signals, goal, goals)
        yield FeedbackItem(
            dialogue, AtGoal(goal), tuple(_faded(s, goal) if s.turns and s.turns[-1] < last else s for s in about)
        )


def _faded(signal: Signal, goal: Sequence[int]) -> Signal:
    later = sum(turn > signal.turns[-1] for turn in goal)
    return replace(signal, kind=EARLIER, strength=signal.strength * 0.5 ** (later / FADE_TURNS))


def turn_items(dialogue: Dialogue, signals: Sequence[Signal]) -> Iterator[FeedbackItem]:
    """Every turn, with the signals about that turn alone; feedback on a dialogue of several turns says little about each."""
    about: dict[int, list[Signal]] = {}
    for signal in (s for s in signals if s.kind not in OF_GOALS):
        if len(dialogue.turns) == 1 or not concerns_dialogue(signal, dialogue):
            for turn in signal.turns:
                about.setdefault(turn, []).append(signal)
    for turn in range(len(dialogue.turns)):
        yield FeedbackItem(dialogue, AtTurn(turn), tuple(about.get(turn, ())))


def dialogue_items(dialogue: Dialogue, signals: Sequence[Signal]) -> Iterator[FeedbackItem]:
    """The dialogue as a whole, with all signals, as if it were one goal. What users said of all of it replaces what they said of single
    turns."""
    if any(s.explicit and concerns_dialogue(s, dialogue) for s in signals):
        signals = [s for s in signals if not s.explicit or concerns_dialogue(s, dialogue)]
    for item in goal_items(dialogue, signals, (tuple(range(len(dialogue.turns))),) if dialogue.turns else ()):
        yield FeedbackItem(dialogue, AtDialogue(), item.signals)


def goals_of(dialogue: Dialogue, annotator: str | None, signals: Sequence[Signal] | None = None) -> tuple[Goals, str]:
    """The turns of each goal, and whose goals they are, in words.

    Those of `annotator` where the dialogue has them, else provisional ones: the whole dialogue where the assistant
    predicted at most one domain; else each run of turns of one domain without a long gap (limits_s). A turn without a
    domain continues its run.

    signals: with them provisional goals follow the user (`_pursued`); without, they are runs of the predicted domain, as a
    model labels them that divides no goals."""
    annotation = dialogue.annotation(annotator) if annotator is not None else None
    labels = division(annotation) if annotation is not None else None
    if labels is not None:
        return tuple(
            sorted(label.at.turns for label in labels if isinstance(label.at, AtGoal))
        ), f"goals by {annotator}"
    if not dialogue.turns:
        return (), "no goals"
    if signals is not None:
        goals = _pursued(dialogue, signals)
        return goals, "provisional goal: " + ("the whole dialogue" if len(goals) == 1 else "turns of one domain")
    if len({domain_of(turn) for turn in dialogue.turns} - {None}) <= 1:
        return (tuple(range(len(dialogue.turns))),), "provisional goal: the whole dialogue"
    return _runs(dialogue.turns, limits_s(dialogue)[0]), "provisional goal: a run of one domain"


def _pursued(dialogue: Dialogue, signals: Sequence[Signal]) -> Goals:
    """Provisional goals by the predicted domains and by what users do.

    A turn goes on with the goal of the turn before if its domain is the same or unknown, or if its words ask for nothing.
    A correction or a repeated request goes on with the goal of the turn that it repairs, and a domain that comes again with
    its earlier goal. A turn of another domain that failed, after which the user goes on as before, was misunderstood and
    stays in the goal. A long gap ends all goals, but for dialogues of one domain. Answers to "did I answer your question?"
    serve none."""
    turns = dialogue.turns
    passing = {t for s in signals if s.kind in IN_PASSING for t in s.evidence if t not in s.turns}
    answers = {t for s in signals if s.kind == "answer" for t in s.evidence if t not in s.turns}
    repaired = {s.evidence[0]: s.turns[-1] for s in signals if s.kind in REPAIRS and s.turns and s.evidence}
    failed = {s.turns[-1] for s in signals if s.vote == "bad" and s.turns}
    domains = [None if t in passing else domain_of(turn) for t, turn in enumerate(turns)]
    several = len(set(domains) - {None}) > 1
    goals: list[list[int]] = []
    domains_of: list[set[str]] = []
    goal_of: dict[int, int] = {}
    longest_s, _ = limits_s(dialogue)
    first = 0
    before: int | None = None
    for t, domain in enumerate(domains):
        gap = gap_s(turns[t - 1], turns[t]) if t else None
        if several and gap is not None and gap > longest_s:
            first = len(goals)
        if t in answers:
            continue
        candidates = [goal_of.get(repaired.get(t, t))]
        if before is not None and (domain is None or not domains_of[before]):
            candidates.append(before)
        if domain is not None:
            candidates += [before] if before is not None and domain in domains_of[before] else []
            candidates += [n for n in reversed(range(len(goals))) if domain in domains_of[n]]
        if before is not None and t in failed and domains_of[before] & {*domains[t + 1 : t + 3]}:
            candidates.append(before)
        number = next((n for n in candidates if n is not None and n >= first), len(goals))
        if number == len(goals):
            goals.append([])
            domains_of.append(set())
        goals[number].append(t)
        domains_of[number].update([] if domain is None else [domain])
        goal_of[t] = before = number
    return tuple(map(tuple, goals)) or (tuple(range(len(turns))),)


def domain_of(turn: Turn) -> str | None:
    """The domain that the live assistant predicted: `domain`, else what stands before the dot in the first intent of its
    hypothesis."""
    if turn.domain is not None:
        return turn.domain
    for intent in turn.hypothesis.intents if turn.hypothesis else ():
        return domain_of_name(intent.name)
    return None


def _runs(turns: Sequence[Turn], longest_s: float) -> Goals:
    runs: list[list[int]] = []
    running: str | None = None
    for t, turn in enumerate(turns):
        domain = domain_of(turn)
        gap = gap_s(turns[t - 1], turn) if t else None
        changed = domain is not None and running is not None and domain != running
        if not runs or changed or (gap is not None and gap > longest_s):
            runs.append([])
            running = None
        runs[-1].append(t)
        running = domain or running
    return tuple(tuple(run) for run in runs)


def concerning(signals: Sequence[Signal], goal: Sequence[int], goals: Goals) -> tuple[Signal, ...]:
    """The signals about a goal: those about its turns, or about turns without a goal that follow it before any other goal
    goes on (thanks after a farewell are about what was done before)."""
    goal_of = {turn: other for other in goals for turn in other}
    about = []
    for signal in signals:
        goals_meant = {goal_of[t] for t in signal.turns if t in goal_of}
        if not goals_meant and signal.turns:
            earlier = [t for t in goal_of if t < signal.turns[0]]
            goals_meant = {goal_of[max(earlier)]} if earlier else set()
        if tuple(goal) in goals_meant:
            about.append(signal)
    return tuple(about)


METHODS = {
    "em": "labelgen.verdicts.estimate:learn",
    "waterfall": "labelgen.feedback.items:rules",
}
"""name -> a function that gives the Method for the items of a log. The first learns from them, with content; the second is the rules,
with the precisions that detectors declare."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """good: probability that it went well. weight: of a target: distance from even, |2 good - 1|, by the rules, and 1 by a method that
    knows how often things go well. origin: the evidence in words."""

    good: float
    weight: float
    origin: str


Method = Callable[[Sequence[FeedbackItem]], list[Posterior | None]]
"""From items, those of a dialogue together and their signals in any order, to their posteriors; None without evidence. Many at once
take less time."""


def prior_log_odds(kind: str, vote: Vote, strength: float = 1.0) -> float:
    """Log-odds of good by the declared precision of a vote, in nats. A strength of s moves the precision r of a kind to
    1/2 + (r - 1/2) s. A vote that the kind does not declare is no evidence: 0."""
    right = 0.5 + (reliability(kind).precision.get(vote, 0.5) - 0.5) * min(max(strength, 0.0), 1.0)
    return log_odds(right) if vote == "good" else -log_odds(right)


_SURE = 1e-6
"""Probabilities nearer to 0 or 1 are clipped."""


def log_odds(p: float) -> float:
    """In nats."""
    clipped = min(max(p, _SURE), 1.0 - _SURE)
    return math.log(clipped / (1.0 - clipped))


def from_log_odds(nats: float) -> float:
    """The probability."""
    return 1.0 / (1.0 + math.exp(-nats))


def rules(items: Iterable[FeedbackItem] = ()) -> Method:
    """The method that learns nothing from the items of a log: `waterfall` on each."""
    return lambda chosen: [waterfall(item) for item in chosen]


def waterfall(item: FeedbackItem) -> Posterior | None:
    """Explicit signals; only where there are none, implicit ones.

    Within the level that is used, kinds are independent: their log-odds add up, from even. If a kind says the same several
    times, its strongest signal counts once."""
    signals = judging(item.signals)
    used = [s for s in signals if s.explicit] or signals
    if not used:
        return None
    strongest: dict[tuple[str, str], Signal] = {}
    for signal in used:
        known = strongest.get((signal.kind, signal.vote))
        if known is None or signal.strength > known.strength:
            strongest[signal.kind, signal.vote] = signal
    # Sorted, so that the sum does not depend on the order of the signals to the last bit.
    nats = sum(prior_log_odds(s.kind, s.vote, s.strength) for _, s in sorted(strongest.items()) if s.vote != "fair")
    level = "explicit" if used[0].explicit else "implicit"
    return posterior(from_log_odds(nats), f"waterfall, {level}: {words(used)}")


def judging(signals: Sequence[Signal]) -> list[Signal]:
    """Signals that are evidence: with a vote that their kind declares, so that a correction never counts for good. A rating in
    the middle is evidence for neither."""
    return [s for s in signals if s.vote in reliability(s.kind).precision]


def posterior(good: float, origin: str) -> Posterior:
    """A Posterior with its distance from even as weight."""
    return Posterior(good, abs(2.0 * good - 1.0), origin)


def words(signals: Sequence[Signal]) -> str:
    """Signals in words, such as `bad by repetition at turn 2, good by gratitude at turn 3`."""
    parts = set()
    for s in signals:
        place = f" at turn {', '.join(map(str, s.evidence))}" if s.evidence else ""
        parts.add(f"{s.vote} by {s.kind}{place}")
    return ", ".join(sorted(parts))
