"""Candidates beside people on the same fields: every metric of one question, with intervals and ratios."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelgen.base.registry import resolve
from labelgen.confidence.resampling import (
    Array,
    Interval,
    interval,
    paired_difference,
    paired_ratio,
    resampled,
    resamples,
)
from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.trials import SINGLE, Setting, Trial
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, Metric

Estimate = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one candidate; draws: its value in each resample."""

    interval: Interval
    draws: Array
    items: int
    dialogues: int

    def estimate(self) -> Estimate:
        return {**bounds(self.interval), "items": self.items, "dialogues": self.dialogues}


def metric(name: str) -> Metric:
    found: Metric = resolve(METRICS, name, "metric")
    return found


def items_of(trials: Sequence[Trial], dialogues: Sequence[Dialogue], question: Question, candidate: str) -> list[Item]:
    """What the candidate said on the fields of each trial; SINGLE stands for the trial's own person."""
    said: dict[int, Mapping[Any, Any]] = {}
    out = []
    for trial in trials:
        dialogue = dialogues[trial.dialogue]
        if candidate == SINGLE:
            predicted = trial.person or {}
        else:
            if trial.dialogue not in said:
                said[trial.dialogue] = answered(dialogue.annotation(candidate), question)
            predicted = dict(said[trial.dialogue])
        out.append(Item(tuple(turn.request for turn in dialogue.turns), trial.reference, predicted))
    return out


def measure_all(
    names: Sequence[str], items: Sequence[Item], trials: Sequence[Trial], setting: Setting
) -> dict[str, Measured]:
    """Each metric over all trials, with its interval. Dialogues are resampled, with all their trials; equal trials and
    seeds draw equal resamples, so that candidates can be paired."""
    owner = np.unique([trial.dialogue for trial in trials], return_inverse=True)[1]
    dialogues = len(set(owner.tolist()))
    times = resamples(dialogues, setting.resamples, setting.seed)
    fields = sum(len(item.reference) for item in items)
    rows: dict[Callable[[Item], Any], list[Any]] = {}
    out = {}
    for name in names:
        known = metric(name)
        if known.tally not in rows:
            rows[known.tally] = [known.tally(item) for item in items]
        tallied = rows[known.tally]

        def statistic(drawn: Array, known: Metric = known, tallied: Sequence[Any] = tallied) -> Array:
            return known.value(tallied, drawn[:, owner])

        draws = resampled(statistic, times)
        value = float(statistic(np.ones((1, dialogues)))[0])
        out[name] = Measured(interval(value, draws, setting.level), draws, fields, dialogues)
    return out


def ratio(candidate: str, over: str, name: str, ours: Measured, theirs: Measured, level: float) -> dict[str, Any]:
    draws = (ours.draws, theirs.draws)
    return {
        "candidate": candidate,
        "over": over,
        "metric": name,
        **bounds(paired_ratio(ours.interval, theirs.interval, draws, level)),
        "difference": bounds(paired_difference(ours.interval, theirs.interval, draws, level)),
    }


def bounds(found: Interval) -> dict[str, float | int | None]:
    return {"value": number(found.value), "low": number(found.low), "high": number(found.high)}


def number(value: float) -> float | None:
    """None for what is not defined: JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def answered_share(items: Sequence[Item]) -> float | None:
    """The share of judged fields that the candidate answers."""
    fields = sum(len(item.reference) for item in items)
    return sum(at in item.predicted for item in items for at in item.reference) / fields if fields else None
