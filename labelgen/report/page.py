"""The report: one evaluation as one HTML file that needs neither network nor script."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from labelgen.metrics.results import (
    BASELINE,
    Drift,
    Estimate,
    Evaluation,
    Point,
    PrecisionCoverage,
    Ratio,
    ReleaseComparison,
    SliceMetric,
    SystemRow,
    TaskResult,
    significant,
)
from labelgen.report import plots
from labelgen.report.side_by_side import feedback_words, view
from labelgen.report.wording import (
    BADGES,
    NO_BASELINES,
    ShownVerdict,
    SideBySideRow,
    TestedSystem,
    answer,
    caveats,
    larger_is_better,
    side_by_side,
    subject_of,
    tested,
    training_unknown,
)

_RATIOS_WITHIN = (0.0, 2.0)


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
            values_axis=plots.axis_for(v for one in tasks for row in one.rows for v in _bounds(row.estimate)),
            weak=[(one, part) for one in tasks for part in one.weak],
            significant=significant,
            no_baselines=NO_BASELINES,
            views=[view(example, names - answered) for example in evaluation.examples],
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
        return None if self.subject is None else self.subject.metrics.get(self.task.main_metric)

    @property
    def rows(self) -> tuple[SideBySideRow, ...]:
        """All systems, against the subject."""
        return side_by_side(self.task, self.subject)

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
    known.globals.update(data=plots.data, plots=plots, mark=plots.Mark, words=BADGES, feedback_words=feedback_words)
    return known
