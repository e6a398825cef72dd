"""What is judged: a turn, a goal or a dialogue, with the signals that speak of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.data.labels import At, AtDialogue, AtGoal, AtTurn
from labelgen.data.quality import QualityName
from labelgen.feedback.goals import Goals, concerning, domain_of, goals_of
from labelgen.feedback.signal import concerns_dialogue

EARLIER = "earlier turns"
"""The kind of all signals about turns after which the user went on with the goal."""

FADE_TURNS = 2.0
"""A turn's service says less about its goal the more turns follow it: its strength halves every so many turns."""

IN_PASSING = ("answer", "gratitude", "stop")
"""Kinds that are found in words which ask for nothing: a turn of such words takes its goal no further."""

OF_GOALS = ("abandonment",)
"""Kinds that tell whether a goal was reached, and nothing of how well the turn they speak of was served: a question that
nobody answered may have been the right one (docs/explanation/decisions.md)."""


@dataclass(frozen=True, slots=True)
class Item:
    """One turn, goal or dialogue, whose quality or outcome is to be told from the signals about it; often there are
    none."""

    dialogue: Dialogue
    at: AtTurn | AtGoal | AtDialogue
    signals: tuple[Signal, ...]

    @property
    def turns(self) -> tuple[int, ...]:
        """The turns that it is made of."""
        match self.at:
            case AtTurn(turn):
                return (turn,)
            case AtGoal(turns):
                return turns
            case AtDialogue():
                return tuple(range(len(self.dialogue.turns)))

    @property
    def domain(self) -> str | None:
        """The domain that the assistant believed in first, in the turns of it; None where it believed in none."""
        domains = (domain_of(self.dialogue.turns[turn]) for turn in self.turns)
        return next((domain for domain in domains if domain is not None), None)


def items_of(dialogue: Dialogue, signals: Sequence[Signal], annotator: str | None = None) -> Iterator[Item]:
    """Everything in a dialogue that is judged. annotator: whose goals, where the dialogue has them (goals.py)."""
    yield from goal_items(dialogue, signals, goals_of(dialogue, annotator)[0])
    yield from turn_items(dialogue, signals)
    yield from rated_items(dialogue, signals)


def goal_items(dialogue: Dialogue, signals: Sequence[Signal], goals: Goals) -> Iterator[Item]:
    """Every goal, with the signals that concern it. What happened on the way was made good or given up later: it tells how
    a turn was served, and only a little of how the goal came out, so all of it is one kind, EARLIER, and faded."""
    passing = {t for s in signals if s.kind in IN_PASSING for t in s.evidence if t not in s.turns}
    for goal in goals:
        last = max((turn for turn in goal if turn not in passing), default=0)
        about = concerning(signals, goal, goals)
        yield Item(
            dialogue, AtGoal(goal), tuple(_faded(s, goal) if s.turns and s.turns[-1] < last else s for s in about)
        )


def _faded(signal: Signal, goal: Sequence[int]) -> Signal:
    later = sum(turn > signal.turns[-1] for turn in goal)
    return replace(signal, kind=EARLIER, strength=signal.strength * 0.5 ** (later / FADE_TURNS))


def turn_items(dialogue: Dialogue, signals: Sequence[Signal]) -> Iterator[Item]:
    """Every turn, with the signals that speak of it singly and of how it was served; feedback on a dialogue of several
    turns says little of each."""
    about: dict[int, list[Signal]] = {}
    for signal in (s for s in signals if s.kind not in OF_GOALS):
        if len(dialogue.turns) == 1 or not concerns_dialogue(signal, dialogue):
            for turn in signal.turns:
                about.setdefault(turn, []).append(signal)
    for turn in range(len(dialogue.turns)):
        yield Item(dialogue, AtTurn(turn), tuple(about.get(turn, ())))


def rated_items(dialogue: Dialogue, signals: Sequence[Signal]) -> Iterator[Item]:
    """The dialogue, where a rating speaks of the whole of it. A yes to "did you get it?" is an outcome."""
    ratings = tuple(s for s in signals if s.kind == "rating" and concerns_dialogue(s, dialogue))
    if ratings:
        yield Item(dialogue, AtDialogue(), ratings)


def ratings(items: Iterable[Item]) -> dict[At, QualityName]:
    """The quality that users gave by rating, of those items that they rated, and not several times otherwise."""
    said = {item.at: {s.vote for s in item.signals if s.kind == "rating"} for item in items}
    return {at: min(names) for at, names in said.items() if len(names) == 1}
