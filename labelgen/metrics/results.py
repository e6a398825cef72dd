"""Typed results of an evaluation: what `labelgen evaluate` measures, as evaluation.json holds it (docs/explanation/evaluation.md).

`evaluate` makes an `Evaluation`, `encode` writes it, `read_evaluation` reads it; the report and the benchmarks work on the same
objects. A number that is not defined is None."""

import math
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from labelgen.base.errors import InputError

FORM = "labelgen evaluation 4"
DRIFT_FORM = "labelgen drift 1"
HUMAN = "human baseline"
"""The row that pools all annotators, each judged alone."""
BASELINE = "baseline: "
"""Begins the name of every baseline that learns from the training part."""
EVERYONE = ("kind=person",)
"""All annotators of kind `person`."""


class SystemName(Struct, frozen=True, omit_defaults=True):
    """Who is judged: an annotator of the log, or a model that annotated the log once more on the reference's goals or with feedback masked.

    base: name of the annotator. As text it is the annotator name in the log that is judged, and what tables show."""

    base: str
    on_given_goals: bool = False
    masked: bool = False

    def __str__(self) -> str:
        goals = " on the reference's goals" if self.on_given_goals else ""
        return f"{self.base}{goals}{', feedback masked' if self.masked else ''}"

    @property
    def unmasked(self) -> "SystemName":
        """The same with feedback in view."""
        return SystemName(self.base, self.on_given_goals)


VerdictName = Literal[
    "better", "no_baselines", "ahead", "feedback_dependent", "indistinguishable", "worse", "not_compared"
]
"""better: than the human baseline and every baseline, or than the baselines where there is no human baseline. no_baselines: better than
the human baseline, and there are no baselines. ahead: of the human baseline, but not significantly of every baseline.
feedback_dependent: one of these three, but worse with the feedback masked. worse: than the human baseline or, without one, than
some baseline. indistinguishable: none of these is significant. not_compared: there is nothing to compare with."""


class Interval(Struct):
    """A value with its confidence interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    def rounded(self) -> dict[str, float | None]:
        """Value and bounds with four decimals, more than an interval supports."""
        bounds = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if x is None else round(x, 4) for name, x in bounds.items()}


class Estimate(Interval, kw_only=True):
    """A metric on `items` judged answers of `dialogues` dialogues. units: independent ones that the interval is over: users, and the
    dialogues of nobody."""

    items: int = 0
    dialogues: int = 0
    units: int = 0


class Tested(Estimate, kw_only=True):
    """A metric of one system on a part of the data.

    rest: the metric on all other items. p_value: one-sided, of the system being no worse here; p_adjusted: by Holm's method over all
    parts that were tested. None where nothing was tested."""

    system: str
    metric: str
    rest: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


class SliceMetric(Tested, kw_only=True):
    """A metric on the slice where the field `by` is `name`."""

    by: str
    name: str


class Ratio(Interval, kw_only=True):
    """The metric of `system` divided by that of `opponent`; difference: system minus opponent. Both are paired by dialogue."""

    system: str
    opponent: str
    metric: str
    difference: Interval = field(default_factory=Interval)


class Comparison(Interval, kw_only=True):
    """The paired difference of a system's main metric and that of `opponent`, with its two-sided p-value."""

    opponent: str
    kind: Literal["human", "baseline"]
    p_value: float | None = None
    p_adjusted: float | None = None
    significant: bool = False


class Verdict(Struct, kw_only=True):
    """Whether a system is better or worse than the human baseline and the baselines, by its main metric.

    p_value: of being ahead of all opponents, None where there are no baselines. beaten_by: baselines that are significantly ahead."""

    system: str
    metric: str = ""
    verdict: VerdictName = "not_compared"
    p_value: float | None = None
    p_adjusted: float | None = None
    comparisons: list[Comparison] = []
    beaten_by: list[str] = []


class MetricInfo(Struct, kw_only=True):
    """How to read a metric."""

    larger_is_better: bool = True
    description: str = ""


class SystemRow(Struct, kw_only=True):
    """All metrics of one system. answered: share of judged items that it answers; the others count as misses."""

    system: str
    kind: str
    answered: float | None = None
    metrics: dict[str, Estimate] = {}


class LeftOut(Struct, kw_only=True):
    """How many items or dialogues were not judged, and why."""

    reason: str
    items: int | None = None
    dialogues: int | None = None


class Confusion(Struct, kw_only=True):
    """counts[i][j]: items where the reference is labels[i] and the system's answer columns[j]. recall, precision: of each of the labels; None
    where the reference, or the system, never gives it."""

    system: str
    labels: list[str]
    columns: list[str]
    counts: list[list[int]]
    recall: list[float | None] = []
    precision: list[float | None] = []


class Bin(Struct, kw_only=True):
    """Items whose probability lies in [low, high]: their mean probability, and the share that is right. answers: each answer counted
    once, however often it was compared."""

    low: float
    high: float
    items: int
    answers: int | None = None
    probability: float | None
    accuracy: float | None


class ReliabilityDiagram(Struct, kw_only=True):
    """Calibration of a system's probabilities. ece: expected calibration error."""

    system: str
    ece: float | None = None
    bins: list[Bin] = []


class Point(Struct, kw_only=True):
    """Precision and coverage where answers of at least the probability `threshold` are accepted."""

    threshold: float | None = None
    coverage: float | None
    precision: float | None
    items: int = 0


class PrecisionCoverage(Struct, kw_only=True):
    """Selective prediction of a system. without_probability: answers outside the curve. human_precision: of the human baseline."""

    system: str
    without_probability: int = 0
    human_precision: float | None = None
    points: list[Point] = []


class TaskResult(Struct, kw_only=True):
    """Every system on one task at one unit, or on several tasks jointly. fields: answers that were judged; items: comparisons, one for
    each annotator who is judged on an answer. ties: fields that the consensus could not decide."""

    name: str
    unit: str
    main_metric: str
    tasks: list[str] = []
    metrics: dict[str, MetricInfo] = {}
    fields: int | None = None
    items: int = 0
    dialogues: int = 0
    rows: list[SystemRow] = []
    verdicts: list[Verdict] = []
    ratios: list[Ratio] = []
    ties: int = 0
    left_out: list[LeftOut] = []
    confusion: list[Confusion] = []
    reliability: list[ReliabilityDiagram] = []
    precision_coverage: list[PrecisionCoverage] = []
    slices: list[SliceMetric] = []

    def row(self, system: str) -> SystemRow | None:
        """The row of a system; None where it does not answer the task."""
        return next((row for row in self.rows if row.system == system), None)


class Setting(Struct, frozen=True):
    """How systems are judged.

    reference: `consensus`, or the annotator who is right. annotators: who counts as a human annotator: EVERYONE, names, or None for
    nobody. others: against the consensus, each annotator is judged against this many of the others, drawn by the seed; None:
    against all others; 0: nobody is left out, systems are judged against the consensus of all annotators, without a human baseline.
    ratings: how the consensus of ratings is made. first_turn: earlier turns are not judged. slices: fields of the record to slice
    by, besides the default ones. level: of the intervals."""

    reference: str = "consensus"
    annotators: tuple[str, ...] | None = EVERYONE
    others: int | None = None
    ratings: Literal["vote", "mean"] = "vote"
    first_turn: int = 0
    slices: tuple[str, ...] = ()
    seed: int = 0
    resamples: int = 1000
    level: float = 0.95


class AnnotatedBy(Struct, kw_only=True):
    """A model among the systems. dialogues: judged ones that it annotated; trained_on: of these, how many it was trained on, None where
    its labels do not say."""

    system: str
    kind: str = "model"
    dialogues: int
    trained_on: int | None = None


class Data(Struct, kw_only=True):
    """The log. judged: dialogues with a judged field. with_feedback: dialogues that carry feedback evidence. drawn_for_difficulty: way of
    drawing -> dialogues that a sample chose because they are difficult."""

    paths: list[str] = []
    digest: str | None = None
    dialogues: int = 0
    turns: int = 0
    sources: dict[str, int] = {}
    split: str | None = None
    judged: int = 0
    annotated: list[AnnotatedBy] = []
    drawn_for_difficulty: dict[str, int] = {}
    with_feedback: int | None = None
    left_out: list[LeftOut] = []


class BaselineFit(Struct, kw_only=True):
    """answers: examples of the task in the training part. baselines: baseline -> how it was fitted."""

    answers: int = 0
    baselines: dict[str, dict[str, Any]] = {}


class FittedBaselines(Struct, kw_only=True):
    """What the baselines learned from: `dialogues` and `turns`, drawn of `of_dialogues` and `of_turns`. goals_from: the system at whose
    goals they label outcomes end to end."""

    dialogues: int = 0
    turns: int = 0
    of_dialogues: int = 0
    of_turns: int = 0
    tasks: dict[str, BaselineFit] = {}
    goals_from: str | None = None


class Cost(Struct, kw_only=True):
    """Over all judged fields: shares answered and answered as the reference (agreement), how many those are (accepted), and what one of the
    latter costs."""

    system: str
    kind: str = ""
    answered: float | None = None
    agreement: float | None = None
    accepted: float = 0.0
    priced_dialogues: int = 0
    price: float | None = None
    price_per_accepted: float | None = None


class ExampleDialogue(Struct, kw_only=True):
    """A dialogue to look at; errors: fields where `system` differs from `reference`."""

    record: dict[str, Any]
    system: str
    reference: str
    errors: int = 0
    errors_by_task: dict[str, int] = {}


class DriftTest(Struct, kw_only=True):
    """Whether one aspect of the dialogues of a source has the same distribution in a log as in a model's reference.

    kind: inputs, predictions or labels. column: the part of the aspect that differs most; reference, log: its means. dialogues: how many
    were compared. p_adjusted: by Holm's method over all tests."""

    source: str
    kind: str
    name: str
    task: str = ""
    unit: str = ""
    column: str = ""
    reference: float
    log: float
    reference_dialogues: int
    log_dialogues: int
    p_value: float
    p_adjusted: float = 1.0
    drifted: bool = False


class VoidCertificate(Struct, kw_only=True):
    """A threshold whose certificate does not hold for a log, and why."""

    task: str
    unit: str
    reason: str


class Drift(Struct, kw_only=True):
    """What `labelgen drift` found. model_digest: of the model folder. level: chance of any false alarm. dialogues, labeled: how many of the
    log were compared, and how many of them by labels. tests: the most significant first. void: certificates that no longer hold."""

    form: str = DRIFT_FORM
    model_digest: str
    command: str = ""
    level: float
    dialogues: int
    labeled: int
    tests: list[DriftTest] = []
    void: list[VoidCertificate] = []


class PartRate(Struct, kw_only=True):
    """A rate in a part of a comparison: a side, or a period of one. users: of the dialogues that the reference labeled. rate: by people and
    model. model: the model's, not corrected. p_value: of no change of users since the first side, valid at all times together; rises:
    whether the rate rather rose. Both of later periods alone."""

    name: str
    side: str
    dialogues: int
    labeled: int
    users: int
    rate: Interval
    model: float | None
    p_value: float | None = None
    rises: bool = False


class SliceDifference(Struct, kw_only=True):
    """after - before, in a slice or, where `by` is None, of all. p_adjusted: by Holm's method over all slices, or all pairs of sides.
    labels, labels_people_alone: dialogues to label on each side for the wanted width; None where no number is enough. bias: the model's
    error after minus that before. reason: why there is no difference."""

    by: str | None = None
    slice: str = ""
    before: PartRate
    after: PartRate
    people_alone: Interval
    prediction_powered: Interval
    bias: Interval
    p_value: float | None
    p_adjusted: float | None = None
    labels: int | None
    labels_people_alone: int | None
    reason: str | None = None


class RateDifference(Struct, kw_only=True):
    """How a rate changed. trained_on: dialogues left out, because the model was trained on them. alarm: the first period whose p-value is at
    most the chance of a false alarm."""

    task: str
    label: str
    trained_on: int
    differences: list[SliceDifference]
    periods: list[PartRate]
    alarm: PartRate | None


class ReleaseComparison(Struct, kw_only=True):
    """What `labelgen diff` found. by, release: how the sides were made, None for two logs. width: wanted, of an interval."""

    form: str = "labelgen diff 1"
    command: str = ""
    by: str | None
    release: str | None
    level: float
    width: float
    false_alarms: float
    rates: list[RateDifference]


class Evaluation(Struct, kw_only=True):
    """One evaluation. systems: in the order to be shown. model: the card of the model that annotated the log."""

    form: str = FORM
    title: str
    command: str = ""
    versions: dict[str, str] = {}
    setting: Setting = Setting()
    protocol: str = ""
    systems: list[SystemName] = []
    data: Data = field(default_factory=Data)
    baselines: FittedBaselines | None = None
    model: dict[str, Any] = {}
    slices_tested: int | None = None
    tasks: list[TaskResult] = []
    costs: list[Cost] = []
    examples: list[ExampleDialogue] = []

    def masked(self, system: str) -> str | None:
        """The text name of the system with feedback masked; None where it was not judged so."""
        return next((str(one) for one in self.systems if one.masked and str(one.unmasked) == system), None)

    def encode(self) -> bytes:
        """The content of evaluation.json."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def number(value: float) -> float | None:
    """None for what is not defined: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def significant(p_adjusted: float | None, level: float) -> bool:
    """Whether an adjusted p-value is at most 1 - level."""
    # As a sum, since 1 - 0.95 is a little more than 0.05.
    return p_adjusted is not None and p_adjusted + level <= 1.0


def decode(content: bytes | str, where: str) -> Evaluation:
    """The evaluation in an evaluation.json. Raises InputError, with the field, for anything else."""
    try:
        plain = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InputError(
            f"this is no JSON: {error}", where, "give an evaluation.json of `labelgen evaluate`"
        ) from error
    form = plain.get("form") if isinstance(plain, dict) else None
    if isinstance(form, str) and form.startswith("labelgen evaluation ") and form != FORM:
        hint = "evaluate again with this version: labelgen evaluate LOG --predictions predictions.jsonl --out FOLDER"
        raise InputError(f"the evaluation is of another version: {form!r}, not {FORM!r}", where, hint)
    if form != FORM:
        raise InputError("this is no evaluation", where, "give an evaluation.json of `labelgen evaluate`")
    try:
        return msgspec.convert(plain, Evaluation)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        at = f"{where}, {path.strip('`')}" if path else where
        raise InputError(f"the evaluation cannot be read: {reason}", at, "evaluate again with this version") from error


def read_drift(path: Path) -> Drift:
    """The content of a drift.json. Raises InputError for anything else, OSError where it cannot be read."""
    hint = "give a file of labelgen drift --out"
    try:
        drift = msgspec.json.decode(path.read_bytes(), type=Drift)
    except msgspec.MsgspecError as error:
        raise InputError(f"this is no result of labelgen drift: {error}", str(path), hint) from error
    if drift.form != DRIFT_FORM:
        raise InputError(f"the result is of another version: {drift.form!r}, not {DRIFT_FORM!r}", str(path), hint)
    return drift


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation in a file. Raises InputError for what is none, OSError where it cannot be read."""
    return decode(path.read_bytes(), str(path))
