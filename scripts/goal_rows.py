"""Rows of tables about goals, computed from the predictions.jsonl of `labelgen evaluate`."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelgen import __version__
from labelgen.base.registry import resolve
from labelgen.confidence.resampling import of_statistic, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, Label, NoLabel, answers
from labelgen.data.log import Log
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, Metric

RESAMPLES = 1000
ONE_GOAL, EACH_ALONE = "all turns one goal", "each turn a goal"


@dataclass(frozen=True)
class Judged:
    """A dialogue with what is held to be true of it."""

    dialogue: Dialogue
    reference: Annotation


def judged_of(predictions: Path, reference: str) -> list[Judged]:
    """The dialogues of the file that the reference divides, with all their annotations."""
    found = []
    for dialogue in Log([predictions], max_bad_rate=0.0):
        annotation = dialogue.annotation(reference)
        if annotation is not None and AtDialogue() in answers(annotation, GOALS):
            found.append(Judged(dialogue, annotation))
    return found


def candidates_of(judged: Sequence[Judged], without: Sequence[str] = ()) -> list[str]:
    """The annotators that divide all of the dialogues, in the order in which they stand, but for these; then the rules."""
    counts: dict[str, int] = {}
    for x in judged:
        for annotation in x.dialogue.annotations:
            if AtDialogue() in answers(annotation, GOALS):
                counts[annotation.annotator] = counts.get(annotation.annotator, 0) + 1
    full = [name for name, count in counts.items() if count == len(judged) and name not in without]
    return [*full, ONE_GOAL, EACH_ALONE]


def goal_rows(
    judged: Sequence[Judged], candidates: Sequence[str], metrics: Sequence[str], seed: int = 0
) -> list[list[Any]]:
    """Of each candidate: its name, how many dialogues, and each metric with its 95% bootstrap interval over dialogues."""
    times = resamples(len(judged), RESAMPLES, seed)
    rows: list[list[Any]] = []
    for name in candidates:
        items = [_item(x, said_by(name, x.dialogue)) for x in judged]
        row: list[Any] = [name, len(judged)]
        for metric_name in metrics:
            metric: Metric = resolve(METRICS, metric_name, "metric")
            tallies = [metric.tally(item) for item in items]
            row.append(of_statistic(lambda taken, m=metric, t=tallies: m.value(t, taken), times).rounded())  # type: ignore[misc]
        rows.append(row)
    return rows


def said_by(name: str, dialogue: Dialogue) -> Annotation:
    """The annotation of a candidate: one that stands in the dialogue, or a rule's."""
    count = len(dialogue.turns)
    if name == ONE_GOAL:
        return dividing(name, [tuple(range(count))])
    if name == EACH_ALONE:
        return dividing(name, [(t,) for t in range(count)])
    found = dialogue.annotation(name)
    assert found is not None
    return found


def dividing(name: str, goals: Sequence[tuple[int, ...]]) -> Annotation:
    """A rule's annotation that divides a dialogue into these goals."""
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    return Annotation(name, "rule", labels, () if labels else (NoLabel(GOALS, AtDialogue()),))


def _item(judged: Judged, said: Annotation) -> Item:
    requests = tuple(turn.request for turn in judged.dialogue.turns)
    return Item(requests, answers(judged.reference, GOALS), answers(said, GOALS))


def versions() -> dict[str, str]:
    return {
        "labelgen": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
