"""The annotations of one dialogue side by side: what reference, candidate and others say at each place."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Abstained, Annotation, At, AtSpan, AtTurn, Label, answers, divides, division
from labelgen.report.figures import number

State = Literal["same", "differs", "abstained", "absent", "unjudged"]


@dataclass(frozen=True, slots=True)
class Chip:
    """A label in words; hover: what else is known of it."""

    text: str
    probability: float | None
    hover: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One field of one task; None: not answered, (): none. guess: what an abstaining candidate would have said.

    others: what further annotators, but no rules, answered where candidate and reference are not the same."""

    task: str
    state: State
    reference: tuple[Chip, ...] | None
    candidate: tuple[Chip, ...] | None
    guess: tuple[Chip, ...] = ()
    others: tuple[tuple[str, tuple[Chip, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a request. inside: names of the spans over it; ends: the chips of the spans that end with it."""

    text: str
    inside: tuple[str, ...]
    ends: tuple[Chip, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A request with the spans of one annotator; who is empty where both agree."""

    who: str
    segments: tuple[Segment, ...]


class Desk:
    """The annotations of one dialogue side by side. without: tasks that are left out."""

    def __init__(
        self,
        dialogue: Dialogue,
        reference: Annotation | None,
        candidate: Annotation | None,
        without: Collection[str] = (),
    ) -> None:
        self.dialogue = dialogue
        self.reference = reference
        self.candidate = candidate
        self.others = [
            a for a in dialogue.annotations if a is not reference and a is not candidate and a.kind != "rule"
        ]
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
        """Whether reference and candidate both divide the dialogue into goals."""
        return all(a is not None and division(a) is not None for a in (self.reference, self.candidate))

    def probability(self, at: At | None) -> float | None:
        """The candidate's probability of a goal."""
        labels = () if self.candidate is None else self.candidate.labels
        return next((x.probability for x in labels if divides(x.task) and x.at == at), None)

    def answers(self, at_reference: At | None, at_candidate: At | None) -> tuple[Answer, ...]:
        """The answers at one place; a goal's place may differ between the two. Goals themselves are drawn apart."""
        found = (self._answer(task, at_reference, at_candidate) for task in self.tasks if not divides(task))
        return tuple(a for a in found if a is not None)

    def _answer(self, task: str, at_reference: At | None, at_candidate: At | None) -> Answer | None:
        ours = self.at(self.reference, task, at_reference)
        theirs = self.at(self.candidate, task, at_candidate)
        held = self._abstained(task, at_candidate)
        if ours is None and theirs is None and held is None:
            return None
        state = _state(ours, theirs, held, at_reference == at_candidate)
        others: tuple[tuple[str, tuple[Chip, ...]], ...] = ()
        if state not in ("same", "unjudged"):
            others = tuple(
                (a.annotator, self._chips(labels))
                for a in self.others
                if (labels := self.at(a, task, at_reference)) is not None
            )
        return Answer(
            task,
            state,
            None if ours is None else self._chips(ours),
            None if theirs is None else self._chips(theirs),
            () if held is None else self._chips(held.best),
            others,
        )

    def _abstained(self, task: str, at: At | None) -> Abstained | None:
        held = () if self.candidate is None else self.candidate.abstained
        return next((x for x in held if x.field.task == task and x.field.at == at), None)

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
        return Chip(text, label.probability, ", ".join(hover))

    def lines(self, turn: int) -> tuple[Line, ...]:
        """The request with the reference's spans; a second time with the candidate's where they are not the same."""
        request = self.dialogue.turns[turn].request
        ours, theirs = self._spans(self.reference, turn), self._spans(self.candidate, turn)
        if ours is None and theirs is None:
            return (Line("", (Segment(request, (), ()),)),)
        if ours is None or theirs is None:
            (who,) = [a for a in (self.reference, self.candidate) if a is not None and self._spans(a, turn) is not None]
            return (Line(who.annotator, _segments(request, ours or theirs or ())),)
        if {(x.at, x.name) for x in ours} == {(x.at, x.name) for x in theirs}:
            return (Line("", _segments(request, theirs)),)
        assert self.reference is not None
        assert self.candidate is not None
        return (
            Line(self.reference.annotator, _segments(request, ours)),
            Line(self.candidate.annotator, _segments(request, theirs)),
        )

    def _spans(self, annotation: Annotation | None, turn: int) -> tuple[Label, ...] | None:
        found = [self.at(annotation, task, AtTurn(turn)) for task in self.tasks if self._is_span(task)]
        known = [labels for labels in found if labels is not None]
        return tuple(x for labels in known for x in labels) if known else None

    def _is_span(self, task: str) -> bool:
        return any(isinstance(x.at, AtSpan) for a in self.dialogue.annotations for x in a.labels if x.task == task)


def _state(
    ours: tuple[Label, ...] | None, theirs: tuple[Label, ...] | None, held: Abstained | None, one_place: bool
) -> State:
    if ours is None:
        return "unjudged"
    if theirs is None:
        return "absent" if held is None else "abstained"
    if not one_place:
        # A goal's answer is right only on the right goal.
        return "differs"
    return "same" if {(x.at, x.name) for x in ours} == {(x.at, x.name) for x in theirs} else "differs"


def _segments(request: str, spans: Sequence[Label]) -> tuple[Segment, ...]:
    """The request cut where a span begins or ends."""
    placed = [(x.at.start, min(x.at.end, len(request)), x) for x in spans if isinstance(x.at, AtSpan)]
    cuts = sorted({0, len(request), *(p for start, end, _ in placed for p in (start, end))})
    return tuple(
        Segment(
            request[a:b],
            tuple(x.name for start, end, x in placed if start <= a and b <= end),
            tuple(Chip(x.name, x.probability, "") for _, end, x in placed if end == b),
        )
        for a, b in pairwise(cuts)
    )
