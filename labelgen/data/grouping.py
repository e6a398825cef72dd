"""Annotations and targets between their two forms: labels in memory, named groups on disk."""

from collections.abc import Sequence

from labelgen.data.evidence import Target
from labelgen.data.form import (
    AbstainedForm,
    AnnotationForm,
    AtForm,
    BestForm,
    GoalForm,
    LabelForm,
    NamedForm,
    OutcomeProbabilities,
    QualityForm,
    QualityProbabilities,
    SlotForm,
    TargetForm,
    TurnForm,
)
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
    Rating,
    answers_by_task,
    said_none,
)
from labelgen.data.quality import from_scale, quality_name, to_scale

GROUPED = ("goals", "outcome", "quality", "intents", "slots")
LISTED = ("goals", "intents", "slots")
"""Tasks whose group is a list, so that an empty one says "none"."""

UNKNOWN = "unknown"
"""The outcome of a goal of which the annotator says that nobody can tell; none of the outcome's names holds."""


def to_at(form: AtForm) -> At:
    if form.turns is not None:
        return AtGoal(form.turns)
    if form.turn is None:
        return AtDialogue()
    if form.start is not None and form.end is not None:
        return AtSpan(form.turn, form.start, form.end)
    return AtTurn(form.turn)


def from_at(at: At) -> AtForm:
    match at:
        case AtTurn(turn):
            return AtForm(turn=turn)
        case AtSpan(turn, start, end):
            return AtForm(turn=turn, start=start, end=end)
        case AtGoal(turns):
            return AtForm(turns=turns)
        case AtDialogue():
            return AtForm()


def to_target(form: TargetForm) -> Target:
    labels, prior = _pairs(form.labels), _pairs(form.prior)
    return Target(form.task, to_at(form.at), labels, form.not_, form.weight, form.origin, form.complete, prior)


def from_target(target: Target) -> TargetForm:
    return TargetForm(
        task=target.task,
        at=from_at(target.at),
        labels=_named(target.distribution),
        not_=target.complement,
        weight=target.weight,
        origin=target.origin,
        complete=target.complete,
        prior=_named(target.prior),
    )


def _pairs(forms: Sequence[NamedForm] | None) -> tuple[tuple[str, float], ...] | None:
    return None if forms is None else tuple((n.name, 1.0 if n.probability is None else n.probability) for n in forms)


def _named(pairs: Sequence[tuple[str, float]] | None) -> tuple[NamedForm, ...] | None:
    return None if pairs is None else tuple(NamedForm(name=n, probability=p) for n, p in pairs)


def to_annotation(form: AnnotationForm) -> Annotation:
    """Labels in the order: goals and outcomes, quality of the dialogue, turns, tasks without a group."""
    labels: list[Label] = []
    none: dict[Field, float | None] = {}
    if form.goals is not None:
        if not form.goals:
            none[Field("goals", AtDialogue())] = None
        for goal in form.goals:
            _goal_labels(goal, labels, none)
    if form.quality is not None:
        labels.append(_quality_label(form.quality, AtDialogue()))
    for turn in form.turns:
        _turn_labels(turn, labels, none)
    for other in form.labels:
        at = to_at(other.at)
        if other.name is None:
            none[Field(other.task, at)] = other.probability
            continue
        distribution = None
        if other.distribution is not None:
            distribution = tuple((n.name, n.probability or 0.0) for n in other.distribution)
        labels.append(Label(other.task, at, other.name, other.probability, other.value, distribution))
    return Annotation(
        annotator=form.annotator,
        kind=form.kind,
        labels=tuple(labels),
        none=tuple(none),
        none_probabilities=tuple(none.values()) if any(p is not None for p in none.values()) else (),
        abstained=tuple(_to_abstained(a) for a in form.abstained),
        provenance=form.provenance,
        price=form.price,
    )


def _goal_labels(goal: GoalForm, labels: list[Label], none: dict[Field, float | None]) -> None:
    at = AtGoal(goal.turns)
    labels.append(Label("goals", at, "goal", goal.probability))
    if goal.outcome == UNKNOWN:
        none[Field("outcome", at)] = None
    elif goal.outcome is not None:
        given = goal.outcome_probabilities
        distribution = None if given is None else (("success", given.success), ("failure", given.failure))
        probability = None if distribution is None else dict(distribution).get(goal.outcome)
        labels.append(Label("outcome", at, goal.outcome, probability, None, distribution))


def _quality_label(form: QualityForm, at: AtTurn | AtDialogue) -> Label:
    given = None if form.scale is None else Rating(form.rating, form.scale)
    rating = form.rating if given is None else from_scale(given.rating, given.scale)
    if form.probabilities is None:
        return Label("quality", at, quality_name(rating), None, rating, None, given)
    p = form.probabilities
    distribution = (("bad", p.bad), ("fair", p.fair), ("good", p.good))
    name = form.name or _most_probable(distribution)
    return Label("quality", at, name, dict(distribution)[name], rating, distribution, given)


def _most_probable(distribution: Sequence[tuple[str, float]]) -> str:
    return max(distribution, key=lambda pair: pair[1])[0]


def _turn_labels(form: TurnForm, labels: list[Label], none: dict[Field, float | None]) -> None:
    at = AtTurn(form.turn)
    if form.quality is not None:
        labels.append(_quality_label(form.quality, at))
    if form.intents is not None:
        labels.extend(Label("intents", at, i.name, i.probability) for i in form.intents)
        if not form.intents:
            none[Field("intents", at)] = None
    if form.slots is not None:
        labels.extend(
            Label("slots", AtSpan(form.turn, s.start, s.end), s.name, s.probability, s.value) for s in form.slots
        )
        if not form.slots:
            none[Field("slots", at)] = None


def from_annotation(annotation: Annotation) -> AnnotationForm:
    """The groups of an annotation; labels that fit in no group stand in `labels`. to_annotation undoes it."""
    answered = answers_by_task(annotation, GROUPED)
    outcomes, goal_answers = answered["outcome"], answered["goals"]
    quality, intents, slots = answered["quality"], answered["intents"], answered["slots"]
    goals = None
    listed: set[At] = set()
    if AtDialogue() in goal_answers:
        goals = tuple(_goal_form(g, outcomes.get(g.at)) for g in goal_answers[AtDialogue()])
        listed = {g.at for g in goal_answers[AtDialogue()]}
    turns = sorted({at.turn for at in (*quality, *intents, *slots) if isinstance(at, AtTurn)})
    others = [
        _label_form(x)
        for x in annotation.labels
        if x.task not in GROUPED or (x.task == "outcome" and x.at not in listed)
    ]
    others += [
        LabelForm(task=f.task, at=from_at(f.at), probability=probability)
        for f, probability in said_none(annotation)
        if probability is not None or not (f.task in LISTED or (f.task == "outcome" and f.at in listed))
    ]
    return AnnotationForm(
        annotator=annotation.annotator,
        kind=annotation.kind,
        goals=goals,
        quality=_quality_form(quality.get(AtDialogue(), ())),
        turns=tuple(_turn_form(t, quality, intents, slots) for t in turns),
        labels=tuple(others),
        abstained=tuple(_from_abstained(a) for a in annotation.abstained),
        provenance=annotation.provenance,
        price=annotation.price,
    )


def _goal_form(goal: Label, outcome: Sequence[Label] | None) -> GoalForm:
    assert isinstance(goal.at, AtGoal)
    probabilities = None
    if outcome and outcome[0].distribution is not None:
        given = dict(outcome[0].distribution)
        probabilities = OutcomeProbabilities(success=given["success"], failure=given["failure"])
    name = None
    if outcome is not None:
        name = outcome[0].name if outcome else UNKNOWN
    return GoalForm(
        turns=goal.at.turns, outcome=name, probability=goal.probability, outcome_probabilities=probabilities
    )


def _quality_form(labels: tuple[Label, ...]) -> QualityForm | None:
    if not labels:
        return None
    label = labels[0]
    rating = label.value if isinstance(label.value, (int, float)) else to_scale(label.name)
    probabilities = name = None
    if label.distribution is not None:
        given = dict(label.distribution)
        probabilities = QualityProbabilities(bad=given["bad"], fair=given["fair"], good=given["good"])
        name = None if label.name == _most_probable(label.distribution) else label.name
    if label.given is not None:
        return QualityForm(rating=label.given.rating, scale=label.given.scale, probabilities=probabilities, name=name)
    return QualityForm(rating=float(rating), probabilities=probabilities, name=name)


def _turn_form(
    turn: int,
    quality: dict[At, tuple[Label, ...]],
    intents: dict[At, tuple[Label, ...]],
    slots: dict[At, tuple[Label, ...]],
) -> TurnForm:
    at = AtTurn(turn)
    return TurnForm(
        turn=turn,
        quality=_quality_form(quality.get(at, ())),
        intents=None
        if at not in intents
        else tuple(NamedForm(name=i.name, probability=i.probability) for i in intents[at]),
        slots=None if at not in slots else tuple(_slot_form(s) for s in slots[at]),
    )


def _slot_form(label: Label) -> SlotForm:
    assert isinstance(label.at, AtSpan)
    value = None if label.value is None else str(label.value)
    return SlotForm(name=label.name, start=label.at.start, end=label.at.end, value=value, probability=label.probability)


def _label_form(label: Label) -> LabelForm:
    distribution = None
    if label.distribution is not None:
        distribution = tuple(NamedForm(name=n, probability=p) for n, p in label.distribution)
    return LabelForm(
        task=label.task,
        at=from_at(label.at),
        name=label.name,
        probability=label.probability,
        value=None if label.value is None else str(label.value),
        distribution=distribution,
    )


def _to_abstained(form: AbstainedForm) -> Abstained:
    scope = to_at(AtForm(turn=form.turn, turns=form.turns))
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
        own_turns = None if isinstance(abstained.field.at, AtGoal) else at.turns
        best.append(
            BestForm(name=label.name, probability=label.probability, start=at.start, end=at.end, turns=own_turns)
        )
    return AbstainedForm(task=abstained.field.task, turn=place.turn, turns=place.turns, best=tuple(best))
