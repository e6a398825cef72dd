"""One annotation from several, by vote. Ties are named, not guessed.

How a field is decided depends on what its labels are about:
an exclusive task (exactly one name holds): the name with most votes; a draw at the top is a tie. Ratings may be decided by
their mean instead, which knows no ties: the class of the mean rating, as in the published protocol for satisfaction (Ye et
al. 2023, "Modeling User Satisfaction Dynamics in Dialogue via Hawkes Process").
A set of names, or of spans: each name (each name with start and end) is in where more than half of those who answered
the field gave it; exactly half is a tie of the whole field.
Goals: agreement/division.py.
Where `skills` are given (agreement/skill.py), an exclusive task has the name that is likeliest by what each annotator's word is
worth; two that are as likely are a tie. Where all must agree, whatever they do not say alike is a tie.

Only annotators who answered a field vote on it; "none" is an answer. A label's probability is its share of the votes; a mean
has none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labelgen.agreement.division import divide
from labelgen.agreement.skill import Skills
from labelgen.data.labels import (
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    Field,
    Label,
    NoLabel,
    answers,
    divides,
    division,
    quality_name,
    tasks_of,
)

CONSENSUS = "consensus"
"""The annotator who signs."""

Ballots = Sequence[tuple[Label, ...]]
"""What each annotator who answered a field said of it."""

_AS_LIKELY = 1e-6
"""Posteriors that differ by less are a tie: EM stops somewhere."""

Ratings = Literal["vote", "mean"]
"""How ratings are decided."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """annotation: what was decided. ties: fields that were not, absent from it, sorted by task and place."""

    annotation: Annotation
    ties: tuple[Field, ...]


def consensus(
    annotations: Sequence[Annotation],
    exclusive: Mapping[str, Sequence[str]],
    least: int = 2,
    ratings: Ratings = "vote",
    unanimous: bool = False,
    skills: Skills | None = None,
) -> Consensus:
    """Vote on every field that at least `least` of the annotations answer; others stay absent and are no ties.

    exclusive: the tasks of which exactly one name holds, with their names in order. unanimous: what is not said by all who
    answered a field is a tie. skills: learned from these annotators; they decide exclusive tasks. Where the annotations divide the
    dialogue into goals, labels about goals are kept for goals of the consensus alone; a tied division takes them with
    it."""
    labels: list[Label] = []
    none: list[NoLabel] = []
    ties: list[Field] = []
    for task in sorted({task for a in annotations for task in tasks_of(a)}):
        for at, said in _ballots(annotations, task).items():
            ballots = [labels for _, labels in said]
            if len(ballots) < least:
                continue
            decided = _mean(ballots) if ratings == "mean" else None
            if unanimous and not _alike(ballots):
                decided = None
            elif decided is None:
                names = exclusive.get(task)
                odds = skills and names and skills.posterior(task, at, [(who, _name(labels)) for who, labels in said])
                field = Field(task, at)
                decided = _likeliest(field, ballots, names, odds) if names and odds else _decide(field, ballots, names)
            if decided is None:
                ties.append(Field(task, at))
            elif decided:
                labels += decided
            else:
                none.append(NoLabel(task, at))
    if any(division(a) is not None for a in annotations):
        kept = {label.at for label in labels if divides(label.task)}
        labels = [label for label in labels if not isinstance(label.at, AtGoal) or label.at in kept]
        ties = [field for field in ties if not isinstance(field.at, AtGoal) or field.at in kept]
        none = [answer for answer in none if not isinstance(answer.at, AtGoal) or answer.at in kept]
    return Consensus(Annotation(CONSENSUS, "rule", tuple(labels), tuple(none)), tuple(ties))


def _ballots(annotations: Sequence[Annotation], task: str) -> dict[At, list[tuple[str, tuple[Label, ...]]]]:
    """Of each field, who said what."""
    found: dict[At, list[tuple[str, tuple[Label, ...]]]] = {}
    for annotation in annotations:
        for at, labels in answers(annotation, task).items():
            found.setdefault(at, []).append((annotation.annotator, labels))
    return {at: found[at] for at in sorted(found, key=_order)}


def _order(at: At) -> tuple[int, ...]:
    if isinstance(at, AtDialogue):
        return ()
    return at.turns if isinstance(at, AtGoal) else (at.turn,)


def _decide(field: Field, ballots: Ballots, names: Sequence[str] | None) -> tuple[Label, ...] | None:
    """The labels of one field, () for none, None for a tie."""
    if divides(field.task):
        return _decide_goals(field.task, ballots)
    return _decide_set(ballots) if names is None else _decide_one(field, ballots, names)


def _mean(ballots: Ballots) -> tuple[Label, ...] | None:
    """None where somebody gave no rating."""
    if not all(ballot and isinstance(ballot[0].value, (int, float)) for ballot in ballots):
        return None
    first = ballots[0][0]
    rating = _value([ballot[0] for ballot in ballots])
    assert isinstance(rating, float)
    return (Label(first.task, first.at, quality_name(rating), value=rating),)


def _name(ballot: tuple[Label, ...]) -> str | None:
    return ballot[0].name if ballot else None


def _decide_one(field: Field, ballots: Ballots, names: Sequence[str]) -> tuple[Label, ...] | None:
    votes = Counter(map(_name, ballots))
    return _likeliest(field, ballots, names, {name: count / len(ballots) for name, count in votes.items()})


def _likeliest(
    field: Field, ballots: Ballots, names: Sequence[str], odds: Mapping[str | None, float]
) -> tuple[Label, ...] | None:
    """The name of highest probability; it may be one that nobody said."""
    winner, *others = sorted(odds, key=lambda name: -odds[name])
    if others and odds[winner] - odds[others[0]] < _AS_LIKELY:
        return None
    if winner is None:
        return ()
    for_it = [ballot[0] for ballot in ballots if _name(ballot) == winner]
    shares = tuple((name, odds.get(name, 0.0)) for name in names)
    return (Label(field.task, field.at, winner, odds[winner], _value(for_it), shares),)


def _alike(ballots: Ballots) -> bool:
    return len({frozenset((label.at, label.name) for label in ballot) for ballot in ballots}) == 1


def _decide_set(ballots: Ballots) -> tuple[Label, ...] | None:
    votes: dict[tuple[At, str], list[Label]] = {}
    for ballot in ballots:
        for label in {(label.at, label.name): label for label in ballot}.values():
            votes.setdefault((label.at, label.name), []).append(label)
    if any(2 * len(given) == len(ballots) for given in votes.values()):
        return None
    return tuple(
        Label(given[0].task, at, name, len(given) / len(ballots), _value(given))
        for (at, name), given in sorted(votes.items())
        if 2 * len(given) > len(ballots)
    )


def _decide_goals(task: str, ballots: Ballots) -> tuple[Label, ...] | None:
    goals = divide([[label.at.turns for label in ballot if isinstance(label.at, AtGoal)] for ballot in ballots])
    if goals is None:
        return None
    name = next((label.name for ballot in ballots for label in ballot), "")
    return tuple(Label(task, AtGoal(turns), name, share) for turns, share in goals)


def _value(given: Sequence[Label]) -> str | float | None:
    """The mean of the ratings, or the text that most gave; None where there is none, or a draw between texts."""
    numbers = [label.value for label in given if isinstance(label.value, (int, float))]
    if numbers:
        return sum(numbers) / len(numbers)
    ranked = Counter(label.value for label in given if isinstance(label.value, str)).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
