"""Labels and annotations, written once for every task.

Tasks are many, units are four: a label is about a turn, a span of a turn's request, a goal (a set of turns), or the
dialogue. What a label is about stands in its `at`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["turn", "span", "goal", "dialogue"]

GOALS = "goals"
"""The task whose labels divide a dialogue into goals; one answer to it is the set of all goals of a dialogue."""

ON_GIVEN_GOALS = " on the reference's goals"
"""Ends the name of a model that was told the goals and asked about them."""

FEEDBACK_MASKED = ", feedback masked"
"""Ends the name of a model that annotated the dialogues with their feedback evidence masked."""


@dataclass(frozen=True, slots=True, order=True)
class AtTurn:
    turn: int


@dataclass(frozen=True, slots=True, order=True)
class AtSpan:
    """`[start, end)` in code points of the request of that turn."""

    turn: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, order=True)
class AtGoal:
    """The turns that serve one goal, ascending."""

    turns: tuple[int, ...]


@dataclass(frozen=True, slots=True, order=True)
class AtDialogue:
    pass


At = AtTurn | AtSpan | AtGoal | AtDialogue

UNIT_OF: Mapping[type, Unit] = {AtTurn: "turn", AtSpan: "span", AtGoal: "goal", AtDialogue: "dialogue"}


@dataclass(frozen=True, slots=True)
class Rating:
    """A rating as it was given, on `scale` = (worst, best)."""

    rating: float
    scale: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One answer of one annotator to one task.

    probability: of exactly this label, where the annotator gives one. value: what the name does not say; the normalized
    form of a slot (text), the rating of a quality (1..5). distribution: over all names of an exclusive task, in the
    order of its label set, where the annotator gives it. given: the rating that `value` was mapped from, where the
    annotator names the scale."""

    task: str
    at: At
    name: str
    probability: float | None = None
    value: str | float | None = None
    distribution: tuple[tuple[str, float], ...] | None = None
    given: Rating | None = None


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """A question that an annotator can answer or leave: one task at one scope.

    The scope of a span is its turn, that of a goal among all goals is the dialogue; any other label's scope is its own
    unit."""

    task: str
    at: At


@dataclass(frozen=True, slots=True)
class Abstained:
    """A field that a model left absent because its best guess was below the threshold; `best` holds that guess, empty
    where the guess was "none here". Of a division into goals, only those in `best` may be missing."""

    field: Field
    best: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """unit: of the fields, where the task answers fields of several."""

    task: str
    probability: float
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a model's labels come from: digests (SHA-256, hexadecimal), versions and settings. processor: the kind of CPU or
    GPU that computed them. batch_dependent: true where a trial there found that labels depend in their last bits on the records beside them; absent
    elsewhere. isa: on an x86 CPU the instruction set that oneDNN, which computes the products, could use at most. online: true where each turn was labeled without later ones; absent elsewhere. domains_from: the
    field of the record that named the domains whose labels alone could be given; absent where all could.
    trained_on: whether the model learned labels or feedback of this very dialogue; absent where its folder does not know."""

    model_digest: str
    data_digest: str | None = None
    input_digest: str | None = None
    version: str | None = None
    torch: str | None = None
    precision: str | None = None
    threads: int | None = None
    processor: str | None = None
    isa: str | None = None
    batch_dependent: bool | None = None
    online: bool | None = None
    domains_from: str | None = None
    trained_on: bool | None = None
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class Annotation:
    """A full set of labels of one dialogue by one annotator.

    kind: `person`, `model`, `rule`, `llm`, `user` or `truth`. none: fields that were answered with "no label here", of
    an exclusive task with "none of its names can be told"; a field that is neither there nor among the labels was not
    annotated. price: cost of the annotation, in the log's own currency. none_probabilities: of the answers in `none`, in
    their order; empty where no answer has one."""

    annotator: str
    kind: str
    labels: tuple[Label, ...] = ()
    none: tuple[Field, ...] = ()
    abstained: tuple[Abstained, ...] = ()
    provenance: Provenance | None = field(default=None, compare=False)
    price: float | None = None
    none_probabilities: tuple[float | None, ...] = ()


def divides(task: str) -> bool:
    """Whether the task's labels divide a dialogue into goals, as `divides` of the task itself says too."""
    return task == GOALS


def scope_of(task: str, at: At) -> At:
    """Where the field stands that a label or a target of this task at this place answers."""
    if isinstance(at, AtSpan):
        return AtTurn(at.turn)
    return AtDialogue() if divides(task) else at


def field_of(task: str, at: At) -> Field:
    """The field that a label or a target of this task at this place answers."""
    return Field(task, scope_of(task, at))


def scope(label: Label) -> Field:
    """The field that a label answers."""
    return field_of(label.task, label.at)


def answers(annotation: Annotation, task: str) -> dict[At, tuple[Label, ...]]:
    """Every field of `task` that the annotation answers, by its scope, with its labels in order; () means "none here"."""
    return answers_by_task(annotation, (task,))[task]


def answers_by_task(annotation: Annotation, tasks: Iterable[str]) -> dict[str, dict[At, tuple[Label, ...]]]:
    """`answers` of several tasks, in one pass over the labels."""
    found: dict[str, dict[At, tuple[Label, ...]]] = {task: {} for task in tasks}
    for empty in annotation.none:
        if empty.task in found:
            found[empty.task][empty.at] = ()
    for label in annotation.labels:
        if label.task in found:
            of_task, at = found[label.task], scope_of(label.task, label.at)
            of_task[at] = (*of_task.get(at, ()), label)
    return found


def division(annotation: Annotation) -> tuple[Label, ...] | None:
    """The goals into which the annotation divides its dialogue, in order; () for none, None where it does not divide."""
    return answers(annotation, GOALS).get(AtDialogue())


def said_none(annotation: Annotation) -> Iterator[tuple[Field, float | None]]:
    """Every field that was answered with "none here", in order, with the probability of that where it is given."""
    return zip(annotation.none, annotation.none_probabilities or (None,) * len(annotation.none), strict=True)


def tasks_of(annotation: Annotation) -> tuple[str, ...]:
    """The tasks that the annotation answers somewhere, sorted."""
    return tuple(sorted({label.task for label in annotation.labels} | {f.task for f in annotation.none}))
