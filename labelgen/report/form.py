"""The evaluation as a report reads it: the fields of `labelgen evaluation 1` (docs/reference/report.md).

A number that is not defined is None. Fields that a report does not show are passed over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from labelgen.base.errors import InputError
from labelgen.data.form import AtForm
from labelgen.report.drawn import Confusion, Curve, Reliability

FORM = "labelgen evaluation 1"

NO_RIVAL = "no plain rival: give --train"
"""What a report says of an evaluation that was given no training part."""


Tested = Literal["better", "uncompared", "ahead", "leaning", "open", "worse", "alone"]
"""What tests say of a candidate (docs/explanation/evaluation.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with the interval that holds it at the evaluation's level."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(Interval):
    items: int = 0
    dialogues: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Estimate):
    """A metric of one candidate on the part of the data where `by` is `name`. rest: on all other items. p_adjusted: of a test
    that it is no worse there, adjusted for all parts that were tested; None where it was not tested."""

    by: str
    name: str
    candidate: str
    metric: str
    rest: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    by: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    value: float | None = None
    rest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstSlice(Estimate):
    """A part that was found on one half of the dialogues, as `found` has it, and judged on the other."""

    conditions: tuple[Condition, ...]
    candidate: str
    metric: str
    found: Found
    rest: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio(Interval):
    """`candidate` divided by `over`; difference: candidate minus over, paired by dialogue."""

    candidate: str
    over: str
    metric: str
    difference: Interval = Interval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Interval):
    """The paired difference of a candidate's main metric less that of `over`, a `person` or a plain `rival`. certain: by its adjusted
    p-value."""

    over: str
    kind: str
    certain: bool = False
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """What the tests say of a candidate. beaten_by: plain rivals that are certainly ahead of it."""

    candidate: str
    verdict: Tested = "alone"
    p_adjusted: float | None = None
    against: tuple[Comparison, ...] = ()
    beaten_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricForm:
    larger_is_better: bool = True
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate; answered: the share of judged items that it answers, the others count as misses."""

    candidate: str
    kind: str
    answered: float | None = None
    metrics: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    reason: str
    items: int | None = None
    dialogues: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tied:
    dialogue: str
    at: AtForm = field(default_factory=AtForm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    items: int = 0
    examples: tuple[Tied, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked of every candidate: one task at one unit, or several tasks joined. fields: answers that were judged; items:
    comparisons, one for each person who is judged on an answer."""

    name: str
    unit: str
    main_metric: str
    tasks: tuple[str, ...] = ()
    metrics: dict[str, MetricForm] = field(default_factory=dict)
    fields: int | None = None
    items: int = 0
    dialogues: int = 0
    rows: tuple[Row, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    verdicts: tuple[Judgment, ...] = ()
    ties: Ties = Ties()
    left_out: tuple[LeftOut, ...] = ()
    no_ceiling: str | None = None
    confusion: tuple[Confusion, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    precision_coverage: tuple[Curve, ...] = ()
    slices: tuple[Slice, ...] = ()
    worst_slices: tuple[WorstSlice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    against: str
    people: str | None = None
    candidates: tuple[str, ...] = ()
    seed: int | None = None
    resamples: int | None = None
    level: float = 0.95
    protocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """dialogues: judged ones that the model annotated. trained_on: of how many of them it was trained on, None where nobody says."""

    candidate: str
    kind: str = "model"
    dialogues: int
    trained_on: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    paths: tuple[str, ...] = ()
    digest: str | None = None
    dialogues: int = 0
    turns: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    split: str | None = None
    carry_evidence: int | None = None
    judged: int = 0
    annotated: tuple[Annotated, ...] = ()
    drawn_for_difficulty: dict[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """How plain rivals were fitted for a question: from how many answers."""

    answers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """What plain rivals learned from: so many dialogues and turns, drawn of so many. goals_from: the candidate at whose goals they label
    outcomes end to end."""

    dialogues: int = 0
    turns: int = 0
    of_dialogues: int = 0
    of_turns: int = 0
    questions: dict[str, Learned] = field(default_factory=dict)
    goals_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of all fields that are judged: shares answered and answered as the reference; price_per_accepted: of the latter."""

    candidate: str
    kind: str = ""
    answered: float | None = None
    agreement: float | None = None
    priced_dialogues: int = 0
    price: float | None = None
    price_per_accepted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A dialogue to look at; errors: fields of `candidate` that differ from `reference`."""

    record: dict[str, Any]
    candidate: str
    reference: str
    errors: int = 0
    errors_by_task: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    form: str
    title: str
    setting: Setting
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    data: Data = Data()
    rivals: Rivals | None = None
    model: dict[str, Any] = field(default_factory=dict)
    slices_tested: int | None = None
    tasks: tuple[Question, ...] = ()
    costs: tuple[Cost, ...] = ()
    dialogues: tuple[Example, ...] = ()


def read(plain: Mapping[str, Any]) -> Evaluation:
    """The evaluation that `plain` holds. Raises InputError, with the field, for anything else."""
    hint = "give the JSON file that `labelgen evaluate` of this version wrote"
    form = plain.get("form") if isinstance(plain, Mapping) else None
    if form != FORM:
        raise InputError(f"this is no evaluation: its form is {form!r}, {FORM!r} is needed", "field form", hint)
    try:
        return msgspec.convert(plain, Evaluation)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise InputError(
            f"the evaluation cannot be read: {reason}", path.strip("`") or "the whole of it", hint
        ) from error
