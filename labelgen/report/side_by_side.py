"""One dialogue as a page shows it: its turns, goals as tracks, and a side-by-side view of the labels of reference and system."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue, Feedback, Signal, Step, Turn, steps_if_named
from labelgen.data.labels import (
    Abstained,
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Label,
    answers,
    divides,
    division,
)
from labelgen.data.record import Rejected, convert
from labelgen.metrics.results import ExampleDialogue
from labelgen.report.plots import number

State = Literal["same", "differs", "abstained", "absent", "unjudged"]


@dataclass(frozen=True, slots=True)
class Chip:
    """A label in words; hover: more about it."""

    text: str
    probability: float | None
    hover: str


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One field of one task by reference and system; None: not answered, (): none. guess: of a system that abstained.

    others: the answers of further annotators, without rules, where system and reference differ."""

    task: str
    state: State
    reference: tuple[Chip, ...] | None
    system: tuple[Chip, ...] | None
    guess: tuple[Chip, ...] = ()
    others: tuple[tuple[str, tuple[Chip, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class RequestPart:
    """A part of a request. inside: names of the spans over it; ends: the spans that end with it."""

    text: str
    inside: tuple[str, ...]
    ends: tuple[Chip, ...]


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request with the spans of one annotator; who is empty where both agree."""

    who: str
    segments: tuple[RequestPart, ...]


class SideBySide:
    """Side-by-side view of the annotations of one dialogue. without: tasks that are left out."""

    def __init__(
        self,
        dialogue: Dialogue,
        reference: Annotation | None,
        system: Annotation | None,
        without: Collection[str] = (),
    ) -> None:
        self.dialogue = dialogue
        self.reference = reference
        self.system = system
        self.others = [a for a in dialogue.annotations if a is not reference and a is not system and a.kind != "rule"]
        seen = [x.task for a in dialogue.annotations for x in a.labels]
        seen += [f.task for a in dialogue.annotations for f in a.none]
        seen += [x.field.task for a in dialogue.annotations for x in a.abstained]
        self.tasks = tuple(task for task in dict.fromkeys(seen) if task not in without)
        self.by_task = {task: {id(a): answers(a, task) for a in dialogue.annotations} for task in self.tasks}

    def at(self, annotation: Annotation | None, task: str, at: At | None) -> tuple[Label, ...] | None:
        if annotation is None or at is None:
            return None
        return self.by_task[task][id(annotation)].get(at)

    @property
    def both_divide(self) -> bool:
        """Whether reference and system both divide the dialogue into goals."""
        return all(a is not None and division(a) is not None for a in (self.reference, self.system))

    def probability(self, at: At | None) -> float | None:
        """The system's probability of a goal."""
        labels = () if self.system is None else self.system.labels
        return next((x.probability for x in labels if divides(x.task) and x.at == at), None)

    def answers(self, at_reference: At | None, at_system: At | None) -> tuple[AnswerPair, ...]:
        """The answers at one place; a goal's place may differ between the two. Goals themselves are drawn as tracks."""
        pairs = (self._answer(task, at_reference, at_system) for task in self.tasks if not divides(task))
        return tuple(pair for pair in pairs if pair is not None)

    def _answer(self, task: str, at_reference: At | None, at_system: At | None) -> AnswerPair | None:
        ours = self.at(self.reference, task, at_reference)
        theirs = self.at(self.system, task, at_system)
        withheld = self._abstained(task, at_system)
        if ours is None and theirs is None and withheld is None:
            return None
        state = _state(ours, theirs, withheld, at_reference == at_system)
        others: tuple[tuple[str, tuple[Chip, ...]], ...] = ()
        if state not in ("same", "unjudged"):
            others = tuple(
                (a.annotator, self._chips(labels))
                for a in self.others
                if (labels := self.at(a, task, at_reference)) is not None
            )
        return AnswerPair(
            task,
            state,
            None if ours is None else self._chips(ours),
            None if theirs is None else self._chips(theirs),
            () if withheld is None else self._chips(withheld.best),
            others,
        )

    def _abstained(self, task: str, at: At | None) -> Abstained | None:
        withheld = () if self.system is None else self.system.abstained
        return next((x for x in withheld if x.field.task == task and x.field.at == at), None)

    def _chips(self, labels: Iterable[Label]) -> tuple[Chip, ...]:
        return tuple(self._chip(x) for x in labels)

    def _chip(self, label: Label) -> Chip:
        hover = [] if label.distribution is None else [f"{name} {number(p)}" for name, p in label.distribution]
        text = label.name
        if isinstance(label.at, AtSpan):
            words = self.dialogue.turns[label.at.turn].request[label.at.start : label.at.end]
            text = f"{label.name}: {words}"
            hover.append(f"characters {label.at.start} to {label.at.end}")
            if label.value not in (None, words):
                hover.append(f"value {label.value}")
        elif label.value is not None:
            text = (
                f"{label.name} ({round(label.value, 2):g})"
                if isinstance(label.value, float)
                else f"{text} ({label.value})"
            )
        if label.origin is not None:
            hover.append(label.origin)
        return Chip(text, label.probability, ", ".join(hover))

    def values(self, turn: int) -> set[object]:
        """The values of the labels at a turn by reference and system."""
        both = (a.labels for a in (self.reference, self.system) if a is not None)
        return {label.value for labels in both for label in labels if label.at == AtTurn(turn)}

    def lines(self, turn: int) -> tuple[RequestLine, ...]:
        """The request with the reference's spans; a second time with the system's where they are not the same."""
        request = self.dialogue.turns[turn].request
        ours, theirs = self._spans(self.reference, turn), self._spans(self.system, turn)
        if ours is None and theirs is None:
            return (RequestLine("", (RequestPart(request, (), ()),)),)
        if ours is None or theirs is None:
            (who,) = [a for a in (self.reference, self.system) if a is not None and self._spans(a, turn) is not None]
            return (RequestLine(who.annotator, _segments(request, ours or theirs or ())),)
        if {(x.at, x.name) for x in ours} == {(x.at, x.name) for x in theirs}:
            return (RequestLine("", _segments(request, theirs)),)
        assert self.reference is not None
        assert self.system is not None
        return (
            RequestLine(self.reference.annotator, _segments(request, ours)),
            RequestLine(self.system.annotator, _segments(request, theirs)),
        )

    def _spans(self, annotation: Annotation | None, turn: int) -> tuple[Label, ...] | None:
        by_task = (self.at(annotation, task, AtTurn(turn)) for task in self.tasks if self._is_span(task))
        known = [labels for labels in by_task if labels is not None]
        return tuple(x for labels in known for x in labels) if known else None

    def _is_span(self, task: str) -> bool:
        return any(isinstance(x.at, AtSpan) for a in self.dialogue.annotations for x in a.labels if x.task == task)


def _state(
    ours: tuple[Label, ...] | None, theirs: tuple[Label, ...] | None, withheld: Abstained | None, one_place: bool
) -> State:
    if ours is None:
        return "unjudged"
    if theirs is None:
        return "absent" if withheld is None else "abstained"
    if not one_place:
        # A goal's answer is right only on the right goal.
        return "differs"
    return "same" if {(x.at, x.name) for x in ours} == {(x.at, x.name) for x in theirs} else "differs"


def _segments(request: str, spans: Sequence[Label]) -> tuple[RequestPart, ...]:
    """The request cut where a span begins or ends."""
    placed = [(x.at.start, min(x.at.end, len(request)), x) for x in spans if isinstance(x.at, AtSpan)]
    cuts = sorted({0, len(request), *(p for start, end, _ in placed for p in (start, end))})
    return tuple(
        RequestPart(
            request[a:b],
            tuple(x.name for start, end, x in placed if start <= a and b <= end),
            tuple(Chip(x.name, x.probability, "") for _, end, x in placed if end == b),
        )
        for a, b in pairwise(cuts)
    )


@dataclass(frozen=True, slots=True)
class Goal:
    """The turns of one goal; letter: its name within the dialogue; number: the same as a number from 0."""

    turns: tuple[int, ...]
    number: int
    letter: str


@dataclass(frozen=True, slots=True)
class TrackCell:
    """What one track shows beside one turn.

    serves: the turn belongs to the goal; passes: the goal was begun and comes back later; free: no goal here."""

    state: Literal["serves", "passes", "free"]
    goal: Goal | None = None
    first: bool = False
    last: bool = False


Track = tuple[TrackCell, ...]


def letter(number: int) -> str:
    """A to Z, then A1 to Z1, and so on."""
    rest, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(rest) if rest else "")


def pair(reference: Annotation | None, system: Annotation | None) -> tuple[tuple[Goal, ...], tuple[Goal, ...]]:
    """The goals of both, ordered by their first turns; goals that share most turns share a letter.

    Equal goals are paired first, then by the number of common turns, ties to the earlier goal."""
    ours, theirs = _goals(reference), _goals(system)
    common = sorted(
        (-len(set(a) & set(b)) - (a == b) * len(a), i, j)
        for i, a in enumerate(ours)
        for j, b in enumerate(theirs)
        if set(a) & set(b)
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in common:
        if i not in taken and j not in partner:
            partner[j] = i
            taken.add(i)
    fresh = len(ours)
    named = []
    for j, turns in enumerate(theirs):
        number_of = partner.get(j)
        if number_of is None:
            number_of, fresh = fresh, fresh + 1
        named.append(Goal(turns, number_of, letter(number_of)))
    return tuple(Goal(turns, i, letter(i)) for i, turns in enumerate(ours)), tuple(named)


def _goals(annotation: Annotation | None) -> list[tuple[int, ...]]:
    """The goals it names; where it does not divide the dialogue itself, those that its other labels are about."""
    if annotation is None:
        return []
    divided = division(annotation)
    labels = annotation.labels if divided is None else divided
    return sorted({x.at.turns for x in labels if isinstance(x.at, AtGoal) and x.at.turns})


def tracks(goals: Sequence[Goal], turns: int) -> tuple[Track, ...]:
    """As few tracks as needed: a goal takes the first one that is free from its first turn to its last.

    Each track has one cell for each of the `turns` turns."""
    rows: list[list[TrackCell]] = []
    for goal in sorted(goals, key=lambda g: g.turns):
        first, last = goal.turns[0], goal.turns[-1]
        row = next((r for r in rows if all(c.state == "free" for c in r[first : last + 1])), None)
        if row is None:
            row = [TrackCell("free")] * turns
            rows.append(row)
        for turn in range(first, last + 1):
            state: Literal["serves", "passes"] = "serves" if turn in goal.turns else "passes"
            row[turn] = TrackCell(state, goal, turn == first, turn == last)
    return tuple(tuple(row) for row in rows)


@dataclass(frozen=True, slots=True)
class TurnView:
    """steps: in words, with whether a label of reference or system names it as the one that failed; () where none is named."""

    index: int
    turn: Turn
    lines: tuple[RequestLine, ...]
    answers: tuple[AnswerPair, ...]
    signals: tuple[Signal, ...]
    steps: tuple[tuple[str, Step, bool], ...]


@dataclass(frozen=True, slots=True)
class GoalView:
    """A goal of the reference, of the system, or of both where they were paired; answers about it, such as outcome."""

    goal: Goal
    state: State
    reference: Goal | None
    system: Goal | None
    probability: float | None
    answers: tuple[AnswerPair, ...]


@dataclass(frozen=True, slots=True)
class ExampleView:
    example: ExampleDialogue
    dialogue: Dialogue
    answers: tuple[AnswerPair, ...]
    goals: tuple[GoalView, ...]
    reference_tracks: tuple[Track, ...]
    system_tracks: tuple[Track, ...]
    turns: tuple[TurnView, ...]


def view(example: ExampleDialogue, without: Collection[str] = ()) -> ExampleView:
    """Lay out one example. without: tasks that are not shown. Raises InputError if its record is no record."""
    dialogue = convert(example.record, "the evaluation")
    if isinstance(dialogue, Rejected):
        raise InputError(f"an example is no record: {dialogue.reason}", dialogue.where(), "write the evaluation anew")
    reference, system = dialogue.annotation(example.reference), dialogue.annotation(example.system)
    ours, theirs = pair(reference, system)
    side_by_side = SideBySide(dialogue, reference, system, without)
    count = len(dialogue.turns)
    return ExampleView(
        example=example,
        dialogue=dialogue,
        answers=side_by_side.answers(AtDialogue(), AtDialogue()),
        goals=tuple(_goal_views(side_by_side, ours, theirs)),
        reference_tracks=tracks(ours, count),
        system_tracks=tracks(theirs, count),
        turns=tuple(
            TurnView(
                k,
                turn,
                side_by_side.lines(k),
                side_by_side.answers(AtTurn(k), AtTurn(k)),
                tuple(_seen_at(dialogue.signals, k)),
                steps_if_named(turn, side_by_side.values(k)),
            )
            for k, turn in enumerate(dialogue.turns)
        ),
    )


def feedback_words(feedback: Feedback) -> str:
    """The feedback that the log recorded, such as `rating 4 of 1 to 5` or `answer yes about turn 0`."""
    words = [feedback.kind.replace("_", " ")]
    if feedback.answer is not None and feedback.answer != feedback.kind:
        words.append(feedback.answer)
    if feedback.rating is not None:
        words.append(f"{feedback.rating:g}")
    if feedback.scale is not None:
        words.append(f"on {feedback.scale[0]:g} to {feedback.scale[1]:g}")
    if feedback.about is not None:
        words.append(f"about turn {feedback.about}")
    if feedback.question is not None:
        words.append(f"({feedback.question})")
    return " ".join(words)


def _seen_at(signals: Iterable[Signal], turn: int) -> Iterable[Signal]:
    return (s for s in signals if turn in (s.evidence or s.turns[-1:]))


def _goal_views(side_by_side: SideBySide, ours: Sequence[Goal], theirs: Sequence[Goal]) -> Iterable[GoalView]:
    mine, other = {g.number: g for g in ours}, {g.number: g for g in theirs}
    for key in sorted({*mine, *other}):
        a, b = mine.get(key), other.get(key)
        goal = a or b
        assert goal is not None
        if not side_by_side.both_divide:
            state: State = "unjudged"
        else:
            state = "differs" if a is None or b is None or a.turns != b.turns else "same"
        at_a, at_b = (None if g is None else AtGoal(g.turns) for g in (a, b))
        yield GoalView(goal, state, a, b, side_by_side.probability(at_b), side_by_side.answers(at_a, at_b))
