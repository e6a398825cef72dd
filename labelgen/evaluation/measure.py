"""Metrics of one task for every system, with intervals, ratios and selective prediction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from labelgen.confidence.resampling import Array, interval, paired_difference, paired_ratio, resampled, resamples
from labelgen.confidence.weakness import LEAST_ANSWERS
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal
from labelgen.evaluation.protocol import Judgment
from labelgen.feedback.signal import USER
from labelgen.metrics.metric import Item, Metric, metric
from labelgen.metrics.results import (
    HUMAN,
    Estimate,
    Interval,
    Point,
    PrecisionCoverage,
    Ratio,
    Setting,
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
