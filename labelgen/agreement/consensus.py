"""Consensus of several annotations: majority vote, Dawid-Skene, and median partitions of goals.

An exclusive task (exactly one name holds): the name with most votes; equal votes at the top are a tie. Ratings may take the
class of their mean instead, which has no ties, as in the published protocol for satisfaction (Ye et al. 2023, "Modeling User
Satisfaction Dynamics in Dialogue via Hawkes Process"). With `reliabilities` (agreement/dawid_skene.py) it is the most
probable name; equal probabilities are a tie.
A set of names or spans: each name (with start and end) that more than half of those who answered the field gave; exactly half
is a tie of the whole field.
Goals: the median partition, the division into goals with the most agreeing pairs of turns, on the turns that every annotator divides.
If all must agree, every difference is a tie.

Only annotators who answered a field vote on it; "none" is an answer. A label's probability is its share of the votes; a mean
has none.

Inter-annotator agreement: Krippendorff's alpha.

Each judged item comes as a mapping annotator -> value. Annotators may differ from item to item, and may skip items. Values of
sets, such as intents, are frozensets. Only sums are kept, so memory grows with the distinct values, not with the items.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Literal

from msgspec.structs import replace

from labelgen.agreement.dawid_skene import Reliabilities
from labelgen.data.labels import (
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    Field,
    Label,
    NoLabel,
    answers,
    both_cover,
    divides,
    division,
    on_turns,
    quality_name,
    tasks_of,
)

CONSENSUS = "consensus"
"""The name of the annotator."""

Ballots = Sequence[tuple[Label, ...]]
"""The answers of all annotators to one field."""

Votes = dict[At, list[tuple[str, tuple[Label, ...]]]]
"""Place -> (annotator, answer)."""

_AS_LIKELY = 1e-6
"""Posteriors that differ by less are a tie, since EM stops early."""

Ratings = Literal["vote", "mean"]
"""How ratings are combined."""

Goal = tuple[int, ...]
Gain = Callable[[int, Sequence[int]], int]


@dataclass(frozen=True, slots=True)
class Decided:
    """annotation: the result. ties: undecided fields, absent from it, sorted by task and place. votes: task -> place -> the answers that
    were given; those to a division into goals on the turns that every annotator divides."""

    annotation: Annotation
    ties: tuple[Field, ...]
    votes: Mapping[str, Votes]


def consensus(
    annotations: Sequence[Annotation],
    exclusive: Mapping[str, Sequence[str]],
    least: int = 2,
    ratings: Ratings = "vote",
    unanimous: bool = False,
    reliabilities: Reliabilities | None = None,
) -> Decided:
    """Decide every field with at least `least` answers; others stay absent and are no ties.

    exclusive: the tasks of which exactly one name holds, with their names in order. unanimous: a field without full agreement
    is a tie. reliabilities: learned from these annotators; they decide exclusive tasks. Where the annotations have goals,
    labels about goals are kept for goals of the consensus only; with a tied division, none are kept."""
    labels: list[Label] = []
    none: list[NoLabel] = []
    ties: list[Field] = []
    every = {task: votes_on(annotations, task) for task in sorted({t for a in annotations for t in tasks_of(a)})}
    for task, places in every.items():
        names = exclusive.get(task)
        for at, votes in places.items():
            if len(votes) < least:
                continue
            field, ballots = Field(task, at), [labels for _, labels in votes]
            odds = None
            if reliabilities and names:
                odds = reliabilities.posterior(task, at, [(who, _name(labels)) for who, labels in votes])
            decided = None
            if not unanimous or _all_equal(ballots):
                decided = decide(field, ballots, names, ratings, odds)
            if decided is None:
                ties.append(field)
            elif decided:
                labels += decided
            else:
                none.append(NoLabel(task, at))
    if any(division(a) is not None for a in annotations):
        kept = {label.at for label in labels if divides(label.task)}
        labels = [label for label in labels if not isinstance(label.at, AtGoal) or label.at in kept]
        ties = [field for field in ties if not isinstance(field.at, AtGoal) or field.at in kept]
        none = [answer for answer in none if not isinstance(answer.at, AtGoal) or answer.at in kept]
    result = Annotation(CONSENSUS, "rule", tuple(labels), tuple(none))
    if division(result) is not None:
        result = replace(result, covered_turns=_covered(annotations))
    return Decided(result, tuple(ties), every)


def _covered(annotations: Sequence[Annotation]) -> tuple[int, ...] | None:
    """Turns that every division covers; None for all turns."""
    return reduce(both_cover, [a.covered_turns for a in annotations if division(a) is not None], None)


def votes_on(annotations: Sequence[Annotation], task: str) -> Votes:
    """For each field of a task, the answers with their annotators; of a division into goals, on the turns that every annotator divides."""
    covered = _covered(annotations) if divides(task) else None
    votes: Votes = {}
    for annotation in annotations:
        for at, labels in answers(annotation, task).items():
            vote = annotation.annotator, labels if covered is None else on_turns(labels, covered)
            votes.setdefault(at, []).append(vote)
    return {at: votes[at] for at in sorted(votes, key=_order)}


def _order(at: At) -> tuple[int, ...]:
    if isinstance(at, AtDialogue):
        return ()
    return at.turns if isinstance(at, AtGoal) else (at.turn,)


def decide(
    field: Field,
    ballots: Ballots,
    names: Sequence[str] | None,
    ratings: Ratings = "vote",
    odds: Mapping[str | None, float] | None = None,
) -> tuple[Label, ...] | None:
    """The labels of one field, () for none, None for a tie. names: of an exclusive task. odds: its posterior, in place of the shares of the
    votes."""
    if ratings == "mean" and (mean := _mean(ballots)):
        return mean
    if divides(field.task):
        return _decide_goals(field.task, ballots)
    if names is None:
        return _decide_set(ballots)
    voted = tuple(map(_name, ballots))
    chosen = _shares_winner(voted, tuple(names)) if odds is None else _winner(odds, names)
    if chosen is None:
        return None
    winner, probability, shares = chosen
    if winner is None:
        return ()
    value = _value([ballot[0] for ballot, name in zip(ballots, voted, strict=True) if name == winner])
    return (Label(field.task, field.at, winner, probability, value, shares),)


def _mean(ballots: Ballots) -> tuple[Label, ...] | None:
    """The class of the mean rating; None where an annotator gave no rating."""
    if not all(ballot and isinstance(ballot[0].value, (int, float)) for ballot in ballots):
        return None
    first = ballots[0][0]
    rating = _value([ballot[0] for ballot in ballots])
    assert isinstance(rating, float)
    return (Label(first.task, first.at, quality_name(rating), value=rating),)


def _name(ballot: tuple[Label, ...]) -> str | None:
    return ballot[0].name if ballot else None


Winner = tuple[str | None, float, tuple[tuple[str, float], ...]]
"""A name, its probability, and the probabilities of all names."""


@lru_cache(10_000)
def _shares_winner(voted: tuple[str | None, ...], names: tuple[str, ...]) -> Winner | None:
    return _winner({name: count / len(voted) for name, count in Counter(voted).items()}, names)


def _winner(odds: Mapping[str | None, float], names: Sequence[str]) -> Winner | None:
    """The name of highest probability, which may be one without a vote; None for a tie."""
    winner, *others = sorted(odds, key=lambda name: -odds[name])
    if others and odds[winner] - odds[others[0]] < _AS_LIKELY:
        return None
    return winner, odds[winner], tuple((name, odds.get(name, 0.0)) for name in names)


def _all_equal(ballots: Ballots) -> bool:
    return len({frozenset((label.at, label.name) for label in ballot) for ballot in ballots}) == 1


def _decide_set(ballots: Ballots) -> tuple[Label, ...] | None:
    votes: dict[tuple[At, str], list[Label]] = {}
    for ballot in ballots:
        for label in {(label.at, label.name): label for label in ballot}.values():
            votes.setdefault((label.at, label.name), []).append(label)
    if any(2 * len(labels) == len(ballots) for labels in votes.values()):
        return None
    return tuple(
        Label(labels[0].task, at, name, len(labels) / len(ballots), _value(labels))
        for (at, name), labels in sorted(votes.items())
        if 2 * len(labels) > len(ballots)
    )


def _decide_goals(task: str, ballots: Ballots) -> tuple[Label, ...] | None:
    goals = median_partition(
        [[label.at.turns for label in ballot if isinstance(label.at, AtGoal)] for ballot in ballots]
    )
    if goals is None:
        return None
    name = next((label.name for ballot in ballots for label in ballot), "")
    return tuple(Label(task, AtGoal(turns), name, share) for turns, share in goals)


def _value(labels: Sequence[Label]) -> str | float | None:
    """The mean of the ratings, or the most frequent text; None without any, or for a draw between texts."""
    numbers = [label.value for label in labels if isinstance(label.value, (int, float))]
    if numbers:
        return sum(numbers) / len(numbers)
    ranked = Counter(label.value for label in labels if isinstance(label.value, str)).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def median_partition(divisions: Sequence[Sequence[Goal]]) -> list[tuple[Goal, float]] | None:
    """The goals that several divisions of a dialogue have most in common, by first turn, each with its share of votes; None
    for a tie.

    An annotator links two turns by one goal. The result maximizes agreement with the links and missing links of all pairs of
    turns, so its goals never share a turn, even where the votes on pairs contradict each other (a with b, b with c, not a
    with c). The search moves one turn or joins two goals at a time, from single turns and from each annotator's division.
    Source: median partition, Barthelemy and Leclerc 1995, "The Median Procedure for Partitions"; one-element moves, Filkov
    and Skiena 2004, "Integrating Microarray Data by Consensus Clustering".

    A turn serves a goal where more than half of the annotators say so; exactly half is a tie. It is also a tie if a turn fits
    another goal, or no goal, equally well, or two goals could equally well be one. The share of a goal is the mean share of
    annotators who link its pairs of turns; for a goal of one turn, the share who assign that turn to a goal."""
    voters = len(divisions)
    links: dict[tuple[int, int], int] = {}
    serving: dict[int, int] = {}
    for goals in divisions:
        for goal in goals:
            for k, turn in enumerate(goal):
                serving[turn] = serving.get(turn, 0) + 1
                for earlier in goal[:k]:
                    links[earlier, turn] = links.get((earlier, turn), 0) + 1
    if any(2 * votes == voters for votes in serving.values()):
        return None
    turns = sorted(turn for turn, votes in serving.items() if 2 * votes > voters)

    def gain(turn: int, goal: Sequence[int]) -> int:
        """Votes for the turn in this goal, less votes for the turn alone."""
        return sum(2 * links.get((min(turn, o), max(turn, o)), 0) - voters for o in goal if o != turn)

    starts = [[], *([[t for t in goal if t in turns] for goal in goals] for goals in divisions)]
    settled = [_settle(turns, [goal for goal in start if goal], gain) for start in starts]
    votes = [sum(gain(turn, goal) for goal in goals for turn in goal) for goals in settled]
    best = {
        tuple(sorted(tuple(sorted(goal)) for goal in goals))
        for goals, v in zip(settled, votes, strict=True)
        if v == max(votes)
    }
    if len(best) > 1 or any(_is_tied(turns, goals, gain) for goals in best):
        return None
    return [(goal, _share(goal, links, serving, voters)) for goal in best.pop()]


def _settle(turns: Sequence[int], goals: list[list[int]], gain: Gain) -> list[list[int]]:
    """Move single turns, then join whole goals, as long as either gains votes."""
    while _move(turns, goals, gain) or _join(goals, gain):
        pass
    return goals


def _move(turns: Sequence[int], goals: list[list[int]], gain: Gain) -> bool:
    moved = False
    for turn in turns:
        home = next((goal for goal in goals if turn in goal), [])
        gains = [gain(turn, goal) for goal in goals]
        most = max(gains, default=0)
        if home and gain(turn, home) >= max(0, most):
            continue
        moved = True
        target = goals[gains.index(most)] if most > 0 else []
        if turn in home:
            home.remove(turn)
        if not target:
            goals.append(target)
        target.append(turn)
        if home == []:
            goals[:] = [goal for goal in goals if goal]
    return moved


def _join(goals: list[list[int]], gain: Gain) -> bool:
    for k, goal in enumerate(goals):
        for other in goals[:k]:
            if sum(gain(turn, other) for turn in goal) > 0:
                other += goal
                goals.remove(goal)
                return True
    return False


def _is_tied(turns: Sequence[int], goals: Sequence[Sequence[int]], gain: Gain) -> bool:
    for turn in turns:
        home = next(goal for goal in goals if turn in goal)
        now = gain(turn, home)
        if len(home) > 1 and now == 0:
            return True
        if any(gain(turn, goal) == now for goal in goals if goal is not home):
            return True
    pairs = ((goal, other) for k, goal in enumerate(goals) for other in goals[:k])
    return any(sum(gain(turn, other) for turn in goal) == 0 for goal, other in pairs)


def _share(goal: Sequence[int], links: dict[tuple[int, int], int], serving: dict[int, int], voters: int) -> float:
    if len(goal) == 1:
        return serving[goal[0]] / voters
    pairs = [(a, b) for k, b in enumerate(goal) for a in goal[:k]]
    return sum(links.get(pair, 0) for pair in pairs) / len(pairs) / voters


Distance = Callable[[Hashable, Hashable], float]


class KrippendorffAlpha:
    """Krippendorff's alpha. scale: `nominal`; `ordinal` or `interval` for numbers. Items with fewer than two values are left
    out. Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; ordinal distance of section D."""

    def __init__(self, scale: str = "nominal") -> None:
        self.scale = scale
        self._totals: Counter[Hashable] = Counter()
        self._differing = 0.0
        self._together: dict[tuple[Hashable, Hashable], float] = {}

    def add(self, values: Mapping[str, Hashable], times: int = 1) -> None:
        """Count so many items with these values."""
        if len(values) < 2:
            return
        counts, others = Counter(values.values()), len(values) - 1
        self._totals.update({value: times * n for value, n in counts.items()})
        if self.scale == "nominal":
            # All pairs but those of one value: with many distinct sets, the table of their pairs would be too large.
            self._differing += times * (len(values) ** 2 - sum(n * n for n in counts.values())) / others
        else:
            for a, n in counts.items():
                for b, m in counts.items():
                    self._together[a, b] = self._together.get((a, b), 0.0) + times * n * m / others

    def value(self) -> float:
        """1 for perfect agreement, 0 for chance, negative below it; NaN where nothing was judged twice or all values are
        equal."""
        total = self._totals.total()
        if self.scale == "nominal":
            observed = self._differing
            expected = float(total**2 - sum(n * n for n in self._totals.values()))
        else:
            distance = _distance(self.scale, self._totals)
            observed = sum(mass * distance(a, b) for (a, b), mass in self._together.items())
            expected = sum(n * m * distance(a, b) for a, n in self._totals.items() for b, m in self._totals.items())
        return 1 - (total - 1) * observed / expected if expected > 0 else math.nan


def _distance(scale: str, totals: Counter[Hashable]) -> Distance:
    if scale == "interval":
        return lambda a, b: (_number(a) - _number(b)) ** 2
    below: dict[Hashable, float] = {}
    seen = 0
    for value in sorted(totals, key=_number):
        below[value] = seen + totals[value] / 2
        seen += totals[value]
    return lambda a, b: (below[a] - below[b]) ** 2


def _number(value: Hashable) -> float:
    assert isinstance(value, (int, float))
    return value
