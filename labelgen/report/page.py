"""The report: one evaluation as one HTML file that needs neither network nor script."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from labelgen.base.errors import InputError
from labelgen.confidence.weakness import LEAST_ANSWERS
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, At, AtDialogue, AtGoal, AtSpan, AtTurn, Label, answers, tasks_of
from labelgen.data.record import Rejected, convert
from labelgen.feedback.signal import USER
from labelgen.metrics.results import (
    BASELINE,
    Drift,
    Estimate,
    Evaluation,
    ExampleDialogue,
    Point,
    PrecisionCoverage,
    Ratio,
    ReleaseComparison,
    SliceMetric,
    SystemRow,
    TaskResult,
    Verdict,
    VerdictName,
    significant,
)
from labelgen.metrics.sets import same
from labelgen.report import plots
from labelgen.report.plots import count
from labelgen.report.terminal import NO_BASELINES, DialogueView, drawn_html, ranges

_RATIOS_WITHIN = (0.0, 2.0)
_DRAWING_WIDTH = 76
"""Characters of a line in the drawing of a dialogue."""


ShownVerdict = VerdictName | Literal["unanswered"]

BADGES: Mapping[ShownVerdict, str] = {
    "better": "better",
    "no_baselines": "better than one annotator",
    "ahead": "ahead of one annotator",
    "feedback_dependent": "only with feedback in view",
    "worse": "worse",
    "indistinguishable": "indistinguishable",
    "not_compared": "not compared",
    "unanswered": "not answered by this model",
}

Wording = Mapping[ShownVerdict, tuple[str, str]]
"""Verdict -> its words, and shorter ones after another verdict of the same wording, where there are any."""

_TO_HUMAN: Wording = {
    "better": ("better than one annotator and the baselines", ""),
    "no_baselines": ("better than one annotator (not compared with baselines)", ""),
    "ahead": ("ahead of one annotator but not significantly of the baselines", ""),
    "feedback_dependent": ("ahead of one annotator only with the users' feedback in view", ""),
    "indistinguishable": ("indistinguishable from one annotator", "indistinguishable"),
    "worse": ("worse than one annotator", "worse"),
}
_TO_BASELINES: Wording = {
    "better": ("better than the baselines", ""),
    "feedback_dependent": ("ahead of the baselines only with the users' feedback in view", ""),
    "indistinguishable": ("indistinguishable from the baselines", "indistinguishable"),
    "worse": ("worse than a baseline", ""),
}


def render(evaluation: Evaluation, drift: Drift | None = None) -> str:
    """The page of an evaluation. drift: how the log differs from the data of the calibration, where that was tested."""
    tasks = [_task_view(evaluation, task, k) for k, task in enumerate(evaluation.tasks)]
    names = {name for task in evaluation.tasks for name in task.tasks}
    answered = {name for one in tasks if one.verdict != "unanswered" for name in one.task.tasks}
    ratios = [v for one in tasks if one.ratio for v in (one.ratio.value, one.ratio.low, one.ratio.high)]
    return (
        environment()
        .get_template("page.html")
        .render(
            evaluation=evaluation,
            drift=drift,
            tasks=tasks,
            answer=answer(evaluation),
            caveats=caveats(evaluation),
            training_unknown=training_unknown(evaluation),
            ratio_axis=plots.axis_for([1.0, *ratios], _RATIOS_WITHIN),
            human=any(one.human is not None for one in tasks),
            values_axis=plots.axis_for(v for one in tasks for row in one.task.rows for v in _bounds(one.value(row))),
            weak=[(one, part) for one in tasks for part in one.weak],
            significant=significant,
            no_baselines=NO_BASELINES,
            views=[example_view(example, names - answered) for example in evaluation.examples],
            style=style_sheet(),
        )
    )


def render_diff(diff: ReleaseComparison) -> str:
    """The page of a release comparison, with the rate of each period."""
    return environment().get_template("diff.html").render(diff=diff, style=style_sheet())


def render_curves(curves: Sequence[Any], ahead: int) -> str:
    """The page of curves over the number of answers (verdicts/curve.py). ahead: answers whose gain they foretell."""
    return environment().get_template("curve.html").render(curves=curves, ahead=ahead, style=style_sheet())


@dataclass(frozen=True, slots=True)
class TestedSystem:
    """The verdict of a system on one task, and of the same system with feedback masked, None where nothing was masked."""

    verdict: Verdict
    masked: Verdict | None

    @property
    def human(self) -> bool:
        """Whether the system was compared with the human baseline."""
        return any(x.kind == "human" for x in self.verdict.comparisons)

    @property
    def notes(self) -> list[str]:
        """The lines below the badge."""
        notes = []
        if self.verdict.verdict == "no_baselines":
            notes.append("not compared with baselines")
        if self.verdict.verdict == "ahead":
            notes.append("not significantly of the baselines")
        if self.verdict.verdict == "better" and not self.human:
            notes.append("than the baselines")
        if self.verdict.beaten_by:
            notes.append(f"behind {_short_names(self.verdict.beaten_by)}")
        if self.masked is not None:
            notes.append(f"feedback masked: {BADGES[self.masked.verdict]}")
        return notes

    def of_baseline(self, name: str) -> ShownVerdict | None:
        """The verdict of a baseline against the system; None where it is no baseline or was not tested, as with few answers."""
        for x in self.verdict.comparisons:
            if x.opponent == name and x.kind == "baseline" and x.p_value is not None:
                return "better" if name in self.verdict.beaten_by else "worse" if x.significant else "indistinguishable"
        return None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as the page shows it. subject: the row of the first system, None where it does not answer the task; tested: its verdict;
    human: the human baseline's row; weak: slices where the subject is significantly worse; enough: the widest coverage at which the
    subject is as precise as the human baseline."""

    task: TaskResult
    anchor: str
    verdict: ShownVerdict
    tested: TestedSystem | None
    subject: SystemRow | None
    human: SystemRow | None
    ratio: Ratio | None
    axis: plots.Axis
    weak: tuple[SliceMetric, ...]
    enough: Point | None

    @property
    def main(self) -> Estimate | None:
        """The subject's main metric."""
        return None if self.subject is None else self.value(self.subject)

    def value(self, row: SystemRow) -> Estimate | None:
        """The main metric of a system."""
        return row.metrics.get(self.task.main_metric)

    @property
    def baselines(self) -> list[tuple[str, Estimate | None]]:
        """The baselines that the subject was compared with, by their short names."""
        values = {row.system: row.metrics.get(self.task.main_metric) for row in self.task.rows}
        comparisons = self.tested.verdict.comparisons if self.tested else ()
        return [
            (x.opponent.removeprefix(BASELINE), values.get(x.opponent)) for x in comparisons if x.kind == "baseline"
        ]

    @property
    def slices(self) -> dict[str, list[SliceMetric]]:
        """The slices by field, those of one value together, numbers in names in their order."""
        names = [row.system for row in self.task.rows]
        order = sorted(
            self.task.slices,
            key=lambda s: (_natural(s.name), names.index(s.system) if s.system in names else len(names)),
        )
        return {by: [s for s in order if s.by == by] for by in dict.fromkeys(s.by for s in self.task.slices)}

    def style(self, system: str) -> tuple[str, str]:
        """Class and shape of a system's marks."""
        if self.subject is not None and system == self.subject.system:
            return "model", "circle"
        if self.human is not None and system == self.human.system:
            return "human", "diamond"
        return "other", "square"


def _bounds(estimate: Estimate | None) -> tuple[float | None, ...]:
    return () if estimate is None else (estimate.value, estimate.low, estimate.high)


def _natural(name: str) -> list[tuple[float, str]]:
    """Sorts `5 to 9` before `10 to 19`, and `0.5` after `0.12`."""
    parts = (part for part in re.split(r"([0-9]+(?:\.[0-9]+)?)", name) if part)
    return [(float(part), "") if part[0].isdecimal() else (-1.0, part) for part in parts]


def _task_view(evaluation: Evaluation, task: TaskResult, number: int) -> TaskView:
    subject = subject_of(evaluation, task)
    name = subject.system if subject else None
    ratio = next((r for r in task.ratios if r.system == name and r.metric == task.main_metric), None)
    human = task.row(ratio.opponent) if ratio else None
    human = human or next((row for row in task.rows if row.kind == "human" and row is not subject), None)
    curve = next((c for c in task.precision_coverage if c.system == name), None)
    tests = tested(task, name, None if name is None else evaluation.masked(name))
    unanswered = subject is None and bool(task.rows)
    return TaskView(
        task=task,
        anchor=f"q{number}",
        verdict="unanswered" if unanswered else tests.verdict.verdict if tests else "not_compared",
        tested=tests,
        subject=subject,
        human=human,
        ratio=ratio,
        axis=plots.axis_for(v for row in task.rows for v in _bounds(row.metrics.get(task.main_metric))),
        weak=_weak(task, name, evaluation.setting.level),
        enough=None if curve is None else enough(curve),
    )


def _weak(task: TaskResult, system: str | None, level: float) -> tuple[SliceMetric, ...]:
    """The slices where the system is significantly worse than on the rest, the worst first."""
    sign = 1.0 if larger_is_better(task) else -1.0
    weak = [
        (sign * (part.value - part.rest), part)
        for part in task.slices
        if part.system == system and significant(part.p_adjusted, level)
        if part.value is not None and part.rest is not None
    ]
    return tuple(part for _, part in sorted(weak, key=lambda pair: pair[0]))


def enough(curve: PrecisionCoverage) -> Point | None:
    """The widest coverage at which accepted answers are as precise as the human baseline's, if there is one."""
    bar = curve.human_precision
    if bar is None:
        return None
    good = [p for p in curve.points if p.precision is not None and p.coverage is not None and p.precision >= bar]
    return max(good, key=lambda p: p.coverage or 0.0, default=None)


@dataclass(frozen=True, slots=True)
class ExampleView:
    """A dialogue as the page shows it. differences: task, place, and both answers in words; drawings: annotator -> the dialogue with its labels."""

    example: ExampleDialogue
    dialogue: Dialogue
    differences: tuple[tuple[str, str, str, str], ...]
    drawings: Mapping[str, Markup]


def example_view(example: ExampleDialogue, without: Collection[str] = ()) -> ExampleView:
    """Lay out one example. without: tasks that are not compared. Raises InputError if its record is no record."""
    dialogue = convert(example.record, "the evaluation")
    if isinstance(dialogue, Rejected):
        raise InputError(f"an example is no record: {dialogue.reason}", dialogue.where(), "write the evaluation anew")
    reference, system = dialogue.annotation(example.reference), dialogue.annotation(example.system)
    differences: tuple[tuple[str, str, str, str], ...] = ()
    if reference is not None and system is not None:
        differences = tuple(_differences(dialogue, reference, system, without))
    drawings = {
        who: Markup(drawn_html(DialogueView(dialogue, one), width=_DRAWING_WIDTH))
        for who, one in ((example.reference, reference), (example.system, system))
    }
    return ExampleView(example, dialogue, differences, drawings)


def _differences(
    dialogue: Dialogue, reference: Annotation, system: Annotation, without: Collection[str]
) -> Iterator[tuple[str, str, str, str]]:
    for task in sorted(set(tasks_of(reference)) - set(without)):
        given = answers(system, task)
        for at, wanted in answers(reference, task).items():
            if at not in given or not same(given[at], wanted):
                theirs = _words(dialogue, at, given[at]) if at in given else "no answer"
                yield task, _place(at), _words(dialogue, at, wanted), theirs


def _place(at: At) -> str:
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return f"turn {turn}"
        case AtGoal(turns):
            return f"turns {ranges(turns)}"
        case AtDialogue():
            return "the dialogue"


def _words(dialogue: Dialogue, field: At, labels: Sequence[Label]) -> str:
    """Names of an answer, with the place of each where the field does not say it."""
    words = []
    for label in labels:
        if isinstance(label.at, AtSpan):
            words.append(f"{label.name}: {dialogue.turns[label.at.turn].request[label.at.start : label.at.end]}")
        else:
            words.append(label.name if label.at == field else _place(label.at))
    return ", ".join(words) or "none"


def clauses(verdicts: Iterable[tuple[str, ShownVerdict]], wording: Wording) -> list[str]:
    """`better than one annotator in 1 (quality)`, one for each verdict; verdicts: (task, verdict)."""
    known = list(verdicts)
    parts: list[str] = []
    for verdict, (words, short) in wording.items():
        tasks = [task for task, one in known if one == verdict]
        if tasks:
            parts.append(f"{short if parts and short else words} in {len(tasks)} ({'; '.join(tasks)})")
    return parts


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _tasks(number: int) -> str:
    return f"{number} task{'' if number == 1 else 's'}"


def _short_names(baselines: Sequence[str]) -> str:
    return " and ".join(name.removeprefix(BASELINE) for name in baselines)


def tested(task: TaskResult, system: str | None, masked: str | None) -> TestedSystem | None:
    """The verdict of a system; None where nothing was tested. masked: name of the system with feedback masked."""
    of = {one.system: one for one in task.verdicts}
    if system is None or system not in of:
        return None
    return TestedSystem(of[system], None if masked is None else of.get(masked))


def headline(system: str, verdicts: Sequence[tuple[str, TestedSystem]]) -> str:
    """The answer in sentences; verdicts: of each task, none of them "not_compared"."""

    def words(rows: Sequence[tuple[str, bool, Verdict]]) -> str:
        parts = [
            clause
            for human, wording in ((True, _TO_HUMAN), (False, _TO_BASELINES))
            for clause in clauses(((task, one.verdict) for task, to_human, one in rows if to_human == human), wording)
        ]
        return _joined(parts)

    sentences = [f"Of {_tasks(len(verdicts))}, {system} is {words([(t, x.human, x.verdict) for t, x in verdicts])}."]
    behind = [f"{task}: {_short_names(x.verdict.beaten_by)}" for task, x in verdicts if x.verdict.beaten_by]
    if behind:
        sentences.append(f"It is significantly behind a baseline in {len(behind)} ({'; '.join(behind)}).")
    masked = [
        (task, x.human, x.masked) for task, x in verdicts if x.masked is not None and x.masked.verdict != "not_compared"
    ]
    if masked:
        sentences.append(f"With feedback masked it is {words(masked)}.")
    return " ".join(sentences)


def answer(evaluation: Evaluation) -> str:
    """The answer of an evaluation in sentences, by its verdicts."""
    shown = [(task, subject_of(evaluation, task)) for task in evaluation.tasks]
    unanswered = [task.name for task, row in shown if row is None and task.rows]
    left = f"Not answered by this model: {len(unanswered)} ({'; '.join(unanswered)})." if unanswered else ""
    judged = [(task, row) for task, row in shown if row is not None and value_of(task, row) is not None]
    if not judged:
        return left or "Nothing could be judged."
    name = judged[0][1].system
    compared = [
        (task.name, one)
        for task, row in judged
        if (one := tested(task, row.system, evaluation.masked(row.system))) is not None
        and one.verdict.verdict != "not_compared"
    ]
    sentences = [headline(name, compared)] if compared else []
    rest = len(judged) - len(compared)
    if compared and rest:
        sentences.append(f"In {rest} more no comparison is possible.")
    return f"{' '.join(sentences) or f'No comparison of {name} is possible.'} {left}".rstrip()


def subject_of(evaluation: Evaluation, task: TaskResult) -> SystemRow | None:
    """The row of the first system; None where it does not answer the task. The first row where no system is named."""
    names = evaluation.systems
    return next((row for row in task.rows if not names or row.system == str(names[0])), None)


def value_of(task: TaskResult, row: SystemRow) -> float | None:
    """The main metric of a row."""
    estimate = row.metrics.get(task.main_metric)
    return None if estimate is None else estimate.value


def larger_is_better(task: TaskResult) -> bool:
    """Of the main metric."""
    info = task.metrics.get(task.main_metric)
    return info is None or info.larger_is_better


_LEAK = 0.97
"""Macro F1 of a bag of words above which words are likely to tell the answer."""
BAG_OF_WORDS = BASELINE + "bag of words"


def caveats(evaluation: Evaluation) -> tuple[str, ...]:
    """What limits the figures, the gravest first: dialogues of training, labels of a part only, samples that were not drawn by chance."""
    data = evaluation.data
    judged = count(data.judged)
    sentences = [
        f"{row.system} was trained on {count(row.trained_on)} of the {judged} judged dialogues, so its figures are too good: judge it on "
        "dialogues that are new to it."
        for row in data.annotated
        if row.trained_on
    ]
    sentences += [
        f"{row.system} annotated {count(row.dialogues)} of the {judged} judged dialogues; all others count as not answered."
        for row in data.annotated
        if row.dialogues < data.judged
    ]
    if drawn := sum(data.drawn_for_difficulty.values()):
        how = ", ".join(f"{how} {count(number)}" for how, number in data.drawn_for_difficulty.items())
        sentences.append(
            f"{count(drawn)} of the {judged} judged dialogues were drawn because they are difficult ({how}), so the figures do not hold for "
            "the whole log."
        )
    sentences += [
        f"{task.name}: {count(task.items)} answers of users are too few to tell how good anything is, so there is no interval and no "
        f"verdict; {LEAST_ANSWERS} would do."
        for task in evaluation.tasks
        if evaluation.setting.reference == USER and 0 < task.items < LEAST_ANSWERS
    ]
    sentences += [
        f"{task.name}: a bag of words alone has {known.value:.2f}, so some words may tell the answer, such as payloads of buttons or a "
        "comment that repeats it: look for a leak."
        for task in evaluation.tasks
        for row in task.rows
        if row.system == BAG_OF_WORDS
        and (known := row.metrics.get("macro_f1")) is not None
        and (known.value or 0.0) > _LEAK
    ]
    return tuple(sentences)


def training_unknown(evaluation: Evaluation) -> tuple[str, ...]:
    """Models whose labels do not say whether they were trained on these dialogues."""
    return tuple(row.system for row in evaluation.data.annotated if row.kind == "model" and row.trained_on is None)


def style_sheet() -> Markup:
    """The style sheet of all pages."""
    return Markup(files("labelgen.report").joinpath("page.css").read_text(encoding="utf-8"))


@cache
def environment() -> Environment:
    """The templates of this folder, with the drawings and the formats of numbers."""
    known = Environment(
        loader=PackageLoader("labelgen", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known.globals.update(data=plots.data, plots=plots, mark=plots.Mark, words=BADGES)
    return known
