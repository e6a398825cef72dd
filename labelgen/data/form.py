"""The record as it stands on disk: annotations and targets in named groups that a person can read.

The rest of a record has the same form on disk as in memory (dialogue.py). A JSON Schema and an Arrow schema are made
from these classes (schema.py)."""

from dataclasses import dataclass

from labelgen.data.dialogue import Feedback, Turn
from labelgen.data.evidence import Signal
from labelgen.data.labels import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class AtForm:
    """Place of a label: `turn`; `turn`, `start`, `end`; `turns`; or nothing, which is the dialogue."""

    turn: int | None = None
    start: int | None = None
    end: int | None = None
    turns: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedForm:
    name: str
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotForm:
    name: str
    start: int
    end: int
    value: str | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityProbabilities:
    """Over bad (below 3), fair (3) and good (above 3)."""

    bad: float
    fair: float
    good: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityForm:
    """rating: 1..5, or on `scale` = (worst, best), which is then mapped linearly to 1..5. name: bad, fair or good, where it
    is not the most probable one."""

    rating: float
    scale: tuple[float, float] | None = None
    probabilities: QualityProbabilities | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeProbabilities:
    success: float
    failure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalForm:
    """outcome: `success`, `failure`, `unknown` where nobody can tell, or null where it was not annotated."""

    turns: tuple[int, ...]
    outcome: str | None = None
    probability: float | None = None
    outcome_probabilities: OutcomeProbabilities | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnForm:
    """Labels of one turn; an empty list means none, an absent field was not annotated."""

    turn: int
    quality: QualityForm | None = None
    intents: tuple[NamedForm, ...] | None = None
    slots: tuple[SlotForm, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelForm:
    """A label of a task that has no group of its own; without a name: the field was answered with "none", as probable as
    `probability` says. The latter also stands beside the empty list of a group, which has no room for it."""

    task: str
    at: AtForm = AtForm()
    name: str | None = None
    probability: float | None = None
    value: str | None = None
    distribution: tuple[NamedForm, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BestForm:
    """A guess that was withheld."""

    name: str
    probability: float | None = None
    start: int | None = None
    end: int | None = None
    turns: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstainedForm:
    """turn: where the field is a turn's; absent for the dialogue's; turns: where it is a goal's."""

    task: str
    turn: int | None = None
    turns: tuple[int, ...] | None = None
    best: tuple[BestForm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationForm:
    annotator: str
    kind: str = "person"
    goals: tuple[GoalForm, ...] | None = None
    quality: QualityForm | None = None
    turns: tuple[TurnForm, ...] = ()
    labels: tuple[LabelForm, ...] = ()
    abstained: tuple[AbstainedForm, ...] = ()
    provenance: Provenance | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetForm:
    """`labels` or `not`, exactly one of them (in Python `not_`, since `not` is a word of the language). prior: the same names
    as `labels`, as probable as they were before the evidence; absent where the labels are to be learned as they stand."""

    task: str
    at: AtForm = AtForm()
    labels: tuple[NamedForm, ...] | None = None
    not_: tuple[str, ...] | None = None
    weight: float = 1.0
    origin: str = ""
    complete: bool = True
    prior: tuple[NamedForm, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One dialogue on disk; only `id` and `turns` with `request` and `response` are needed."""

    id: str
    turns: tuple[Turn, ...]
    user: str | None = None
    start: str | None = None
    locale: str | None = None
    device: str | None = None
    source: str | None = None
    feedback: tuple[Feedback, ...] = ()
    annotations: tuple[AnnotationForm, ...] = ()
    signals: tuple[Signal, ...] = ()
    targets: tuple[TargetForm, ...] = ()
    extra: str | None = None
