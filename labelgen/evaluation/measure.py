"""Metrics of one task for every system, with intervals, ratios and selective prediction.

Verdicts: is a system better than the human baseline and the baselines, in the main metric of each task?

Each comparison is a paired difference over the same resampled dialogues, with a two-sided p-value. "Better" claims several things at once,
that the system is ahead of the human baseline and of every baseline of the task, so the largest of their p-values counts
(intersection-union test, Berger 1982). These p-values, one for each task, are adjusted over the tasks by Holm's method (Holm 1979). So are
the p-values against the human baseline, for "worse", and those of all baselines in all tasks, for `beaten_by`. Each system is a family
of its own.

A system with feedback masked has a verdict too; where that is "worse", the system is not "better" but "feedback_dependent".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from labelgen.confidence.resampling import (
    Array,
    holm,
    interval,
    paired_difference,
    paired_ratio,
    resampled,
    resamples,
    two_sided,
)
from labelgen.confidence.weakness import LEAST_ANSWERS
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal
from labelgen.evaluation.baselines import ConstantPerSource, MajorityClass
from labelgen.evaluation.protocol import Judgment
from labelgen.feedback.signal import USER
from labelgen.metrics.metric import Item, Metric, metric
from labelgen.metrics.results import (
    BASELINE,
    HUMAN,
    Comparison,
    Estimate,
    Interval,
    Point,
    PrecisionCoverage,
    Ratio,
    Setting,
    SystemName,
    TaskResult,
    Tested,
    Verdict,
    VerdictName,
    significant,
)
from labelgen.metrics.sets import identity, same
from labelgen.tasks.evaluation import EvaluationTask, answered, item_of

MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one system; draws: its value in each resample."""

    interval: Interval
    draws: Array
    items: int
    dialogues: int
    units: int

    def estimate(self) -> Estimate:
        counts = {"items": self.items, "dialogues": self.dialogues, "units": self.units}
        return Estimate(**msgspec.structs.asdict(self.interval), **counts)


def items_of(
    judgments: Sequence[Judgment], dialogues: Sequence[Dialogue], task: EvaluationTask, system: str
) -> list[Item]:
    """The answers of a system on the fields of each judgment; HUMAN stands for the annotator who is left out."""
    known: dict[int, Mapping[Any, Any]] = {}
    out = []
    for judgment in judgments:
        dialogue = dialogues[judgment.dialogue]
        if system == HUMAN:
            predicted: Mapping[Any, Any] = judgment.person or {}
        else:
            if judgment.dialogue not in known:
                known[judgment.dialogue] = answered(dialogue.annotation(system), task)
            predicted = known[judgment.dialogue]
        out.append(item_of(dialogue, task, judgment.reference, predicted, judgment.covered))
    return out


def measure_all(
    names: Sequence[str],
    items: Sequence[Item],
    judgments: Sequence[Judgment],
    setting: Setting,
    owners: Sequence[str],
) -> dict[str, Measured]:
    """Each metric over all judgments, with its interval. owners: the independent unit of each dialogue, such as its user. Units are
    resampled, with all their dialogues and judgments; equal judgments and seeds draw equal resamples, so that systems can be paired."""
    dialogues = len({judgment.dialogue for judgment in judgments})
    places: dict[str, int] = {}
    owner = [places.setdefault(owners[judgment.dialogue], len(places)) for judgment in judgments]
    units = len(places)
    times = resamples(units, setting.resamples, setting.seed)
    fields = sum(len(item.reference) for item in items)
    # Of a few answers that users gave by chance nothing can be told.
    least = LEAST_ANSWERS if setting.reference == USER else 0
    rows: dict[Callable[[Item], Any], list[Any]] = {}
    out = {}
    for name in names:
        known = metric(name)
        if known.tally not in rows:
            rows[known.tally] = [known.tally(item) for item in items]
        tallied = rows[known.tally]

        def statistic(times: Array, known: Metric = known, tallied: Sequence[Any] = tallied) -> Array:
            return known.value(tallied, times[:, owner])

        draws = np.full(len(times), np.nan) if fields < least else resampled(statistic, times)
        value = float(statistic(np.ones((1, units)))[0])
        out[name] = Measured(interval(value, draws, setting.level), draws, fields, dialogues, units)
    return out


def difference(ours: Measured, theirs: Measured, level: float) -> Interval:
    """Ours less theirs, paired by resample."""
    return paired_difference(ours.interval, theirs.interval, (ours.draws, theirs.draws), level)


def ratio(system: str, opponent: str, name: str, ours: Measured, theirs: Measured, level: float) -> Ratio:
    """Ours over theirs in the metric of that name, paired by resample, with the difference."""
    over = paired_ratio(ours.interval, theirs.interval, (ours.draws, theirs.draws), level)
    paired = difference(ours, theirs, level)
    return Ratio(system=system, opponent=opponent, metric=name, **msgspec.structs.asdict(over), difference=paired)


def answered_share(items: Sequence[Item]) -> float | None:
    """The share of judged fields that the system answers."""
    fields = sum(len(item.reference) for item in items)
    return sum(at in item.predicted for item in items for at in item.reference) / fields if fields else None


Decision = tuple[float | None, bool]


def decisions(item: Item) -> list[Decision]:
    """(probability, right) for each answer that can be accepted or withheld: a field with its least probable label or, where a field holds
    goals, each goal. Fields that the prediction leaves absent are not among them."""
    out: list[Decision] = []
    for at, wanted in item.reference.items():
        labels = item.predicted.get(at)
        if labels is None:
            continue
        if any(isinstance(label.at, AtGoal) and label.at != at for label in (*labels, *wanted)):
            true = {identity(label) for label in wanted}
            out += [(label.probability, identity(label) in true) for label in labels]
            continue
        known = [label.probability for label in labels if label.probability is not None]
        complete = bool(labels) and len(known) == len(labels)
        out.append((min(known) if complete else None, same(labels, wanted)))
    return out


def precision_coverage(system: str, items: Sequence[Item], people: Sequence[Item]) -> PrecisionCoverage | None:
    """Selective prediction: precision of the accepted answers, from the most probable down; equal probabilities are accepted together.

    Coverage is of the fields judged (of the goals predicted), without those whose answer has no probability. None where no answer
    has one. The human precision has the same denominator: answers that name something, since "none here" has no probability."""
    made = [decision for item in items for decision in decisions(item)]
    ranked = sorted(((p, right) for p, right in made if p is not None), key=lambda pair: -pair[0])
    if not ranked:
        return None
    missing = sum(at not in item.predicted for item in items for at in item.reference)
    ends = [k for k in range(1, len(ranked) + 1) if k == len(ranked) or ranked[k][0] != ranked[k - 1][0]]
    if len(ends) > MOST_POINTS:
        ends = [ends[k * (len(ends) - 1) // (MOST_POINTS - 1)] for k in range(MOST_POINTS)]
    right = np.cumsum([is_right for _, is_right in ranked])
    points = [
        Point(
            threshold=ranked[k - 1][0],
            coverage=k / (len(ranked) + missing),
            precision=int(right[k - 1]) / k,
            items=k,
        )
        for k in ends
    ]
    naming = [replace(x, predicted={at: labels for at, labels in x.predicted.items() if labels}) for x in people]
    human = [is_right for item in naming for _, is_right in decisions(item)]
    return PrecisionCoverage(
        system=system,
        without_probability=len(made) - len(ranked),
        human_precision=sum(human) / len(human) if human else None,
        points=points,
    )


_GAINS = ("better", "no_baselines", "ahead")


def compare(
    systems: Sequence[SystemName],
    rules: Sequence[SystemName],
    measured: Mapping[str, Mapping[str, Measured]],
    main_metric: str,
    level: float,
) -> list[Verdict]:
    """For each system the differences to its opponents; `decide` says what they come to. rules: among them the baselines. measured: name -> metric ->
    its value."""
    out = []
    for system in systems:
        ours = measured[str(system)][main_metric]
        comparisons = []
        people = [HUMAN] if HUMAN in measured else []
        for opponent in (*people, *opponents(system, rules)):
            theirs = measured[opponent][main_metric]
            comparisons.append(
                Comparison(
                    opponent=opponent,
                    kind="human" if opponent == HUMAN else "baseline",
                    **msgspec.structs.asdict(difference(ours, theirs, level)),
                    p_value=two_sided(ours.draws - theirs.draws),
                )
            )
        out.append(Verdict(system=str(system), metric=main_metric, comparisons=comparisons))
    return out


def opponents(system: SystemName, rules: Sequence[SystemName]) -> list[str]:
    """The baselines on the same goals; the majority class only where there is no constant per source."""
    baselines = [x for x in rules if x.base.startswith(BASELINE) and x.on_given_goals == system.on_given_goals]
    if any(x.base == ConstantPerSource.name for x in baselines):
        baselines = [x for x in baselines if x.base != MajorityClass.name]
    return [str(x) for x in baselines]


def decide(tasks: Sequence[TaskResult], systems: Sequence[SystemName], level: float) -> None:
    """Fill in the verdicts of all tasks, with their adjusted p-values and those of their comparisons."""
    everything = [(task, one) for task in tasks for one in task.verdicts]
    for system in dict.fromkeys(one.system for _, one in everything):
        family = [(_sign(task), one) for task, one in everything if one.system == system]
        for kind in ("human", "baseline"):
            adjust([x for _, one in family for x in one.comparisons if x.kind == kind])
        for sign, one in family:
            for x in one.comparisons:
                x.significant = significant(x.p_adjusted, level)
            one.p_value = _of_all(one, sign)
        adjust([one for _, one in family])
        for sign, one in family:
            one.beaten_by = [
                x.opponent
                for x in one.comparisons
                if x.kind == "baseline" and x.p_value is not None and x.significant and not _ahead(x, sign)
            ]
            one.verdict = _verdict(one, sign, level)
    for task in tasks:
        of = {one.system: one for one in task.verdicts}
        for masked in (name for name in systems if name.masked):
            seen, unseen = of.get(str(masked.unmasked)), of.get(str(masked))
            if seen and unseen and unseen.verdict == "worse" and seen.verdict in _GAINS:
                seen.verdict = "feedback_dependent"


def _sign(task: TaskResult) -> float:
    return 1.0 if metric(task.main_metric).larger_is_better else -1.0


def _of_all(one: Verdict, sign: float) -> float | None:
    """The p-value of being ahead of all opponents, 1 where the system is behind any; None where there are no baselines."""
    if not any(x.kind == "baseline" for x in one.comparisons):
        return None
    return max(x.p_value if _ahead(x, sign) and x.p_value is not None else 1.0 for x in one.comparisons)


def _ahead(comparison: Comparison, sign: float) -> bool:
    return comparison.value is not None and sign * comparison.value > 0


def _verdict(one: Verdict, sign: float, level: float) -> VerdictName:
    defined = [x for x in one.comparisons if x.p_value is not None]
    human = next((x for x in defined if x.kind == "human"), None)
    if significant(one.p_adjusted, level):
        return "better"
    if human is not None and human.significant:
        if not _ahead(human, sign):
            return "worse"
        return "ahead" if len(defined) > 1 else "no_baselines"
    if not defined:
        return "not_compared"
    return "worse" if human is None and one.beaten_by else "indistinguishable"


def adjust(tested: Sequence[Comparison | Verdict | Tested]) -> int:
    """Fill in `p_adjusted` where there is a `p_value`, over all of them together; returns how many those are."""
    known = [one for one in tested if one.p_value is not None]
    for one, p in zip(known, holm([one.p_value or 0.0 for one in known]), strict=True):
        one.p_adjusted = p
    return len(known)
