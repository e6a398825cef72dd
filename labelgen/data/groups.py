"""The named groups of a record on disk, and their conversion to generic labels and back.

The one module that knows which task has which group. A label of any other task stands in `labels` of its annotation, so
a new task edits nothing here."""

from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import field as struct_field
from msgspec.structs import astuple, replace

from labelgen.data.dialogue import Dialogue, RecordPart
from labelgen.data.labels import (
    Abstained,
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    NoLabel,
    Provenance,
    Rating,
    Target,
    from_scale,
    quality_name,
    to_scale,
)

GROUPED = ("goals", "outcome", "quality", "intents", "slots")
"""Tasks that have a group."""

UNKNOWN = "unknown"
"""The outcome of a goal where the annotator answers that nobody can tell; none of the outcome's names holds."""


class PlaceForm(RecordPart, frozen=True, kw_only=True):
    """Place of a label: `turn`; `turn`, `start`, `end`; `turns`; or nothing, which is the dialogue."""

    turn: int | None = None
    start: int | None = None
    end: int | None = None
    turns: tuple[int, ...] | None = None


class NamedForm(RecordPart, frozen=True, kw_only=True):
    name: str
    probability: float | None = None


class SlotForm(RecordPart, frozen=True, kw_only=True):
    """value: the meant value, or the words of the span. origin: how it was normalized; None where it was not."""

    name: str
    start: int
    end: int
    value: str | None = None
    probability: float | None = None
    origin: str | None = None


class QualityProbabilities(RecordPart, frozen=True, kw_only=True):
    """Over bad (below 3), fair (3) and good (above 3)."""

    bad: float
    fair: float
    good: float


class QualityForm(RecordPart, frozen=True, kw_only=True):
    """rating: 1..5, or on `scale` = (worst, best), which is then mapped linearly to 1..5. name: bad, fair or good, where it
    is not the most probable one."""

    rating: float
    scale: tuple[float, float] | None = None
    probabilities: QualityProbabilities | None = None
    name: str | None = None


class OutcomeProbabilities(RecordPart, frozen=True, kw_only=True):
    success: float
    failure: float


class GoalForm(RecordPart, frozen=True, kw_only=True):
    """outcome: `success`, `failure`, `unknown` where nobody can tell, or null where it was not annotated."""

    turns: tuple[int, ...]
    outcome: str | None = None
    probability: float | None = None
    outcome_probabilities: OutcomeProbabilities | None = None


class TurnForm(RecordPart, frozen=True, kw_only=True):
    """Labels of one turn; an empty list means none, an absent field was not annotated."""

    turn: int
    quality: QualityForm | None = None
    intents: tuple[NamedForm, ...] | None = None
    slots: tuple[SlotForm, ...] | None = None


class LabelForm(RecordPart, frozen=True, kw_only=True):
    """A label of a task without a group.

    Without a name it says that the field has no label, with its `probability`. Such an entry also accompanies the empty
    list of a group, which has no room for the probability."""

    task: str
    at: PlaceForm = PlaceForm()
    name: str | None = None
    probability: float | None = None
    value: str | None = None
    distribution: tuple[NamedForm, ...] | None = None
    origin: str | None = None


class BestForm(RecordPart, frozen=True, kw_only=True):
    """The best guess of a field on which the model abstained."""

    name: str
    probability: float | None = None
    start: int | None = None
    end: int | None = None
    turns: tuple[int, ...] | None = None


class AbstainedForm(RecordPart, frozen=True, kw_only=True):
    """turn: where the field is a turn's; absent for the dialogue's; turns: where it is a goal's."""

    task: str
    turn: int | None = None
    turns: tuple[int, ...] | None = None
    best: tuple[BestForm, ...] = ()


class AnnotationForm(RecordPart, frozen=True, kw_only=True):
    """All labels of one dialogue by one annotator, by group.

    covered_turns: turns that `goals` divides, ascending; the others are context. Absent where it divides all turns."""

    annotator: str
    kind: str = "person"
    goals: tuple[GoalForm, ...] | None = None
    quality: QualityForm | None = None
    turns: tuple[TurnForm, ...] = ()
    labels: tuple[LabelForm, ...] = ()
    abstained: tuple[AbstainedForm, ...] = ()
    provenance: Provenance | None = None
    price: float | None = None
    covered_turns: tuple[int, ...] | None = None


class TargetForm(RecordPart, frozen=True, kw_only=True):
    """`labels` or `not`, exactly one of them."""

    task: str
    at: PlaceForm = PlaceForm()
    labels: tuple[NamedForm, ...] | None = None
    weight: float = 1.0
    origin: str = ""
    complete: bool = True
    not_: tuple[str, ...] | None = struct_field(default=None, name="not")


Record = Dialogue[AnnotationForm, TargetForm]
"""A dialogue as it stands on disk."""

_DIALOGUE = AtDialogue()


def to_at(form: PlaceForm) -> At:
    if form.turns is not None:
        return AtGoal(form.turns)
    if form.turn is None:
        return _DIALOGUE
    if form.start is not None and form.end is not None:
        return AtSpan(form.turn, form.start, form.end)
    return AtTurn(form.turn)


def from_at(at: At) -> PlaceForm:
    match at:
        case AtTurn(turn):
            return PlaceForm(turn=turn)
        case AtSpan(turn, start, end):
            return PlaceForm(turn=turn, start=start, end=end)
        case AtGoal(turns):
            return PlaceForm(turns=turns)
        case AtDialogue():
            return PlaceForm()


def to_target(form: TargetForm) -> Target:
    return Target(form.task, to_at(form.at), _pairs(form.labels), form.not_, form.weight, form.origin, form.complete)


def from_target(target: Target) -> TargetForm:
    return TargetForm(
        task=target.task,
        at=from_at(target.at),
        labels=_named(target.distribution),
        not_=target.complement,
        weight=target.weight,
        origin=target.origin,
        complete=target.complete,
    )


def _pairs(forms: Sequence[NamedForm] | None, missing: float = 1.0) -> tuple[tuple[str, float], ...] | None:
    if forms is None:
        return None
    return tuple([(n.name, missing if n.probability is None else n.probability) for n in forms])


def _named(pairs: Sequence[tuple[str, float]] | None) -> tuple[NamedForm, ...] | None:
    return None if pairs is None else tuple([NamedForm(name=n, probability=p) for n, p in pairs])


def to_annotation(form: AnnotationForm) -> Annotation:
    """Labels in the order: goals and outcomes, quality of the dialogue, turns, tasks without a group."""
    labels: list[Label] = []
    none: dict[tuple[str, At], float | None] = {}
    if form.goals is not None:
        if not form.goals:
            none["goals", _DIALOGUE] = None
        for goal in form.goals:
            goal_at = AtGoal(goal.turns)
            labels.append(Label("goals", goal_at, "goal", goal.probability))
            if goal.outcome == UNKNOWN:
                none["outcome", goal_at] = None
            elif goal.outcome is not None:
                labels.append(_outcome_label(goal.outcome, goal.outcome_probabilities, goal_at))
    if form.quality is not None:
        labels.append(_quality_label(form.quality, _DIALOGUE))
    for turn_form in form.turns:
        turn = turn_form.turn
        at = AtTurn(turn)
        if turn_form.quality is not None:
            labels.append(_quality_label(turn_form.quality, at))
        if (intents := turn_form.intents) is not None:
            for i in intents:
                labels.append(Label("intents", at, i.name, i.probability))
            if not intents:
                none["intents", at] = None
        if (slots := turn_form.slots) is not None:
            for s in slots:
                at_span = AtSpan(turn, s.start, s.end)
                labels.append(Label("slots", at_span, s.name, s.probability, s.value, origin=s.origin))
            if not slots:
                none["slots", at] = None
    for other in form.labels:
        place = to_at(other.at)
        if other.name is None:
            none[other.task, place] = other.probability
        else:
            distribution = _pairs(other.distribution, 0.0)
            labels.append(
                Label(other.task, place, other.name, other.probability, other.value, distribution, None, other.origin)
            )
    return Annotation(
        form.annotator,
        form.kind,
        tuple(labels),
        tuple([NoLabel(task, at, probability) for (task, at), probability in none.items()]),
        tuple([_to_abstained(a) for a in form.abstained]),
        form.provenance,
        form.price,
        form.covered_turns,
    )


def _outcome_label(name: str, probabilities: OutcomeProbabilities | None, at: AtGoal) -> Label:
    if probabilities is None:
        return Label("outcome", at, name)
    distribution = _shares(probabilities)
    return Label("outcome", at, name, dict(distribution).get(name), None, distribution)


def _quality_label(form: QualityForm, at: AtTurn | AtDialogue) -> Label:
    scaled = None if form.scale is None else Rating(form.rating, form.scale)
    rating = form.rating if scaled is None else from_scale(scaled.rating, scaled.scale)
    if form.probabilities is None:
        return Label("quality", at, quality_name(rating), None, rating, None, scaled)
    distribution = _shares(form.probabilities)
    name = form.name or _most_probable(distribution)
    return Label("quality", at, name, dict(distribution)[name], rating, distribution, scaled)


def _shares(probabilities: OutcomeProbabilities | QualityProbabilities) -> tuple[tuple[str, float], ...]:
    return tuple(zip(probabilities.__struct_fields__, astuple(probabilities), strict=True))


def _most_probable(distribution: Sequence[tuple[str, float]]) -> str:
    return max(distribution, key=lambda pair: pair[1])[0]


def from_annotation(annotation: Annotation) -> AnnotationForm:
    """The groups of an annotation; labels that fit in no group stand in `labels`. to_annotation undoes it."""
    goals = [label for label in annotation.labels if label.task == "goals"]
    goal_places = {label.at for label in goals}
    answers_goals = bool(goals)
    outcomes: dict[At, Label | None] = {}
    quality: dict[At, Label] = {}
    intents: dict[int, list[NamedForm]] = {}
    slots: dict[int, list[SlotForm]] = {}
    without_label: list[LabelForm] = []
    for none in annotation.none:
        task, at = none.task, none.at
        in_group = True
        if task == "intents" and isinstance(at, AtTurn):
            intents[at.turn] = []
        elif task == "slots" and isinstance(at, AtTurn):
            slots[at.turn] = []
        elif task == "goals" and isinstance(at, AtDialogue):
            answers_goals = True
        elif task == "outcome" and at in goal_places:
            outcomes[at] = None
        else:
            in_group = False
        if none.probability is not None or not in_group:
            without_label.append(LabelForm(task=task, at=from_at(at), probability=none.probability))
    others: list[LabelForm] = []
    for label in annotation.labels:
        task, at = label.task, label.at
        if task == "intents" and isinstance(at, AtTurn):
            intents.setdefault(at.turn, []).append(NamedForm(name=label.name, probability=label.probability))
        elif task == "slots" and isinstance(at, AtSpan):
            slots.setdefault(at.turn, []).append(_slot_form(label, at))
        elif task == "quality" and isinstance(at, (AtTurn, AtDialogue)):
            quality.setdefault(at, label)
        elif task == "outcome" and at in goal_places:
            outcomes[at] = outcomes.get(at) or label
        elif task != "goals":
            others.append(_label_form(label))
    return AnnotationForm(
        annotator=annotation.annotator,
        kind=annotation.kind,
        goals=tuple([_goal_form(label, outcomes) for label in goals]) if answers_goals else None,
        quality=_quality_form(quality.get(_DIALOGUE)),
        turns=_turn_forms(quality, intents, slots),
        labels=(*others, *without_label),
        abstained=tuple([_from_abstained(a) for a in annotation.abstained]),
        provenance=annotation.provenance,
        price=annotation.price,
        covered_turns=annotation.covered_turns,
    )


def _turn_forms(
    quality: Mapping[At, Label], intents: Mapping[int, list[NamedForm]], slots: Mapping[int, list[SlotForm]]
) -> tuple[TurnForm, ...]:
    turns = {at.turn for at in quality if isinstance(at, AtTurn)}.union(intents, slots)
    return tuple(
        [
            TurnForm(
                turn=turn,
                quality=_quality_form(quality.get(AtTurn(turn))) if quality else None,
                intents=tuple(intents[turn]) if turn in intents else None,
                slots=tuple(slots[turn]) if turn in slots else None,
            )
            for turn in sorted(turns)
        ]
    )


def _goal_form(goal: Label, outcomes: Mapping[At, Label | None]) -> GoalForm:
    assert isinstance(goal.at, AtGoal)
    probabilities = name = None
    if goal.at in outcomes:
        outcome = outcomes[goal.at]
        name = UNKNOWN if outcome is None else outcome.name
        if outcome is not None and outcome.distribution is not None:
            probabilities = OutcomeProbabilities(**dict(outcome.distribution))
    return GoalForm(
        turns=goal.at.turns, outcome=name, probability=goal.probability, outcome_probabilities=probabilities
    )


def _quality_form(label: Label | None) -> QualityForm | None:
    if label is None:
        return None
    probabilities = name = None
    if label.distribution is not None:
        probabilities = QualityProbabilities(**dict(label.distribution))
        name = None if label.name == _most_probable(label.distribution) else label.name
    if label.given is not None:
        return QualityForm(rating=label.given.rating, scale=label.given.scale, probabilities=probabilities, name=name)
    rating = label.value if isinstance(label.value, (int, float)) else to_scale(label.name)
    return QualityForm(rating=float(rating), probabilities=probabilities, name=name)


def _slot_form(label: Label, at: AtSpan) -> SlotForm:
    value = None if label.value is None else str(label.value)
    return SlotForm(
        name=label.name, start=at.start, end=at.end, value=value, probability=label.probability, origin=label.origin
    )


def _label_form(label: Label) -> LabelForm:
    return LabelForm(
        task=label.task,
        at=from_at(label.at),
        name=label.name,
        probability=label.probability,
        value=None if label.value is None else str(label.value),
        distribution=_named(label.distribution),
        origin=label.origin,
    )


def _to_abstained(form: AbstainedForm) -> Abstained:
    scope = to_at(PlaceForm(turn=form.turn, turns=form.turns))
    best = []
    for guess in form.best:
        at = scope
        if guess.turns is not None:
            at = AtGoal(guess.turns)
        elif guess.start is not None and guess.end is not None and form.turn is not None:
            at = AtSpan(form.turn, guess.start, guess.end)
        best.append(Label(form.task, at, guess.name, guess.probability))
    return Abstained(Field(form.task, scope), tuple(best))


def _from_abstained(abstained: Abstained) -> AbstainedForm:
    place = from_at(abstained.field.at)
    best = []
    for label in abstained.best:
        at = from_at(label.at)
        turns = None if isinstance(abstained.field.at, AtGoal) else at.turns
        best.append(BestForm(name=label.name, probability=label.probability, start=at.start, end=at.end, turns=turns))
    return AbstainedForm(task=abstained.field.task, turn=place.turn, turns=place.turns, best=tuple(best))


def to_dialogue(record: Record) -> Dialogue:
    """The dialogue in memory, with generic labels."""
    return cast(
        Dialogue,
        replace(
            record,
            annotations=tuple([to_annotation(a) for a in record.annotations]),
            targets=tuple([to_target(t) for t in record.targets]),
        ),
    )


def to_record(dialogue: Dialogue) -> Record:
    """The dialogue as it stands on disk, with named groups."""
    return cast(
        Record,
        replace(
            dialogue,
            annotations=tuple([from_annotation(a) for a in dialogue.annotations]),
            targets=tuple([from_target(t) for t in dialogue.targets]),
        ),
    )
