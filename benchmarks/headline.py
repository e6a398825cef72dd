"""A model next to one annotator: where it is certainly better, and how many labels an hour.

Thresholds. The dialogues are halved. On one half thresholds are tested from the strictest down, at shares of the model's answers of a fifth
and more: the precision of the accepted answers less that of one annotator's answers, against the consensus of the others, whose interval
must lie above zero (fixed sequence). The last that passes is reported on the other half.

Throughput. The model labels a log on one thread; a person is assumed to take some minutes a dialogue. Both give the same number of labels.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import structs

from labelgen.confidence.resampling import Array, interval, over_trainings, resampled, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.evaluation.measure import decisions, items_of
from labelgen.evaluation.protocol import Protocol
from labelgen.labeling.run import HUMAN_MIN
from labelgen.metrics.metric import divide
from labelgen.metrics.results import HUMAN, Setting
from labelgen.tasks.evaluation import EvaluationTask, evaluation_tasks

from .results import Result, bootstrap, ranged

TASKS = ("goals", "outcome")
COVERAGES = tuple(k / 20 for k in range(4, 21))
RESAMPLES = 1000


def thresholds(predictions: Sequence[Path], corpus: str) -> list[Result]:
    """For goals and outcomes, coverage and precision at the threshold from which the model is certainly better than one annotator.

    predictions: predictions.jsonl of each training, on the same dialogues. Trainings without such a threshold have coverage 0."""
    setting = Setting(resamples=RESAMPLES)
    logs = [sorted(Log([path]), key=lambda dialogue: dialogue.id) for path in predictions]
    rows: list[Result] = []
    for task in evaluation_tasks():
        if task.name in TASKS:
            rows += _rows(task.name, corpus, [_counts(log, task, setting) for log in logs])
    return rows


Counts = tuple[list[tuple[int, float, bool]], Array]
"""(dialogue, probability, right) of each answer of the model, and [D, 2]: right answers of people, and all."""


def _counts(log: Sequence[Dialogue], task: EvaluationTask, setting: Setting) -> Counts:
    judgments = Protocol(log, [task], setting).judgments(task).all
    model, people = (items_of(judgments, log, task, system) for system in ("model", HUMAN))
    answers: list[tuple[int, float, bool]] = []
    persons = np.zeros((len(log), 2))
    for judgment, ours, theirs in zip(judgments, model, people, strict=True):
        answers += [(judgment.dialogue, p, right) for p, right in decisions(ours) if p is not None]
        for _, right in decisions(theirs):
            persons[judgment.dialogue] += (right, 1)
    return answers, persons


def _table(counts: Counts, threshold: float, half: int) -> Array:
    """[D', 5] of one half of the dialogues: the model's right answers that are accepted, accepted ones, all; people's right ones, all."""
    answers, persons = counts
    table = np.concatenate([np.zeros((len(persons), 3)), persons], axis=1)
    for dialogue, p, right in answers:
        table[dialogue, :3] += (right and p >= threshold, p >= threshold, 1)
    kept: Array = table[half::2]
    return kept


def _difference(table: Array, times: Array) -> tuple[float, Array]:
    """Precision of the accepted answers less that of people, and its resamples."""

    def statistic(taken: Array) -> Array:
        n = taken @ table
        return divide(n[:, 0], n[:, 1]) - divide(n[:, 3], n[:, 4])

    return float(statistic(np.ones((1, len(table))))[0]), resampled(statistic, times)


def lowest_threshold(counts: Counts, half: int) -> float | None:
    """The last threshold, tested from the strictest down on one half, above which the model is certainly better; None without any."""
    ranked = sorted((p for dialogue, p, _ in counts[0] if dialogue % 2 == half), reverse=True)
    passed: float | None = None
    for coverage in COVERAGES if ranked else ():
        threshold = ranked[max(0, round(coverage * len(ranked)) - 1)]
        table = _table(counts, threshold, half)
        low = interval(*_difference(table, resamples(len(table), RESAMPLES, 0))).low
        if low is None or low <= 0:
            break
        passed = threshold
    return passed


def _rows(task: str, corpus: str, trainings: Sequence[Counts]) -> list[Result]:
    coverages, precisions, persons, values, draws = [], [], [], [], []
    count = 0
    for counts in trainings:
        threshold = lowest_threshold(counts, 0)
        table = _table(counts, 2.0 if threshold is None else threshold, 1)
        total = table.sum(axis=0)
        count = int(total[2])
        coverages.append(float(total[1] / total[2]))
        persons.append(float(total[3] / total[4]))
        if total[1]:
            precisions.append(float(total[0] / total[1]))
            value, drawn = _difference(table, resamples(len(table), RESAMPLES, 1))
            values.append(value)
            draws.append(drawn)
    base = Result(
        corpus=corpus,
        split="half of the judged log",
        task=task,
        system="model",
        setting=f"threshold in {len(values)} of {len(trainings)} trainings",
        metric="precision",
        value=0.0,
        n=count,
    )
    rows = [
        structs.replace(base, metric="coverage", **ranged(coverages)),
        structs.replace(base, system="one annotator", **ranged(persons)),
    ]
    if values:
        shown = interval(*over_trainings(values, draws, 0)).rounded()
        rows.append(structs.replace(base, **ranged(precisions)))
        if shown["low"] is not None:
            rows.append(structs.replace(base, baseline="one annotator", **bootstrap(shown)))
    return rows


def throughput(
    model: Sequence[Path],
    log: Sequence[Path],
    corpus: str,
    split: str = "judged log",
    seconds_a_turn: float | None = None,
) -> list[Result]:
    """Labels an hour of the first model on one thread, by its CPU time, and of a person.

    seconds_a_turn: that a person is assumed to take; each turn is then a label. None: HUMAN_MIN minutes a dialogue for as many labels
    as the model gives."""
    from labelgen.model.annotator import Annotator

    dialogues = list(Log(list(log)))
    annotator = Annotator(model[0], name="model")
    began = time.process_time()
    annotations = annotator.annotate(dialogues)
    seconds = time.process_time() - began
    turns = sum(len(dialogue.turns) for dialogue in dialogues)
    if seconds_a_turn is None:
        labels = sum(len(annotation.labels) for annotation in annotations)
        assumed, person = f"{HUMAN_MIN:g} minutes a dialogue", 60.0 * HUMAN_MIN * len(dialogues)
    else:
        labels, assumed, person = turns, f"{seconds_a_turn:g} seconds a turn", seconds_a_turn * turns
    return [
        Result(
            corpus=corpus,
            split=split,
            system=system,
            setting=setting,
            metric="labels_per_hour",
            value=float(round(3600.0 * labels / taken, -1)),
            n=turns,
        )
        for system, setting, taken in (
            ("model", "measured, one thread of a shared machine", seconds),
            ("one annotator", f"assumed, {assumed}", person),
        )
    ]
