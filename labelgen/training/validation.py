"""Task metrics on validation dialogues after each epoch, by the same functions as an evaluation.

The reference of a dialogue is what the run learns from. It is the annotation of the chosen annotator; of several, their consensus. For
fields that none of them answers, it is the most likely label of the dialogue's own targets, with the weight of the target. The labels
compared are those of the model as it would be saved, on the dialogue as validation shows it: with its feedback masked, if it is masked
for the loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytorch_lightning as pl
from msgspec.structs import replace

from labelgen.agreement.consensus import consensus
from labelgen.base.errors import UsageError
from labelgen.base.registry import require, resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    Annotation,
    Answers,
    AtGoal,
    Field,
    Label,
    NoLabel,
    Target,
    annotation_of,
    divides,
    field_of,
)
from labelgen.feedback.items import goals_of
from labelgen.metrics.metric import Item, Metric, Row, metric
from labelgen.metrics.results import SystemName
from labelgen.model.annotate import goals_in
from labelgen.model.batches import Example, Goals
from labelgen.tasks import TASKS
from labelgen.tasks.evaluation import EvaluationTask, answered, exclusive_names, item_of, tasks_of_units
from labelgen.training.corpus import Examples
from labelgen.training.loader import HeldOutBatch
from labelgen.training.module import gather

LOSS = "valid_loss"
REFERENCE, MODEL = "reference", "model"
"""Names of the annotations that are compared."""

Rows = dict[str, list[tuple[float, Row]]]
"""Metric -> rows of one dialogue with their weights."""


@dataclass(frozen=True, slots=True)
class TaskMetrics:
    """Metrics of a task at one unit, end to end or on the goals of the reference.

    prefix: of their names, such as `valid/outcome`."""

    prefix: str
    task: EvaluationTask
    on_given_goals: bool = False

    @property
    def names(self) -> dict[str, Metric]:
        """The metrics by their names in a row."""
        return {f"{self.prefix}/{name}": metric(name) for name in self.task.metrics}


def task_metrics(tasks: Sequence[str]) -> list[TaskMetrics]:
    """The metrics of a model with these tasks, in their order. Tasks may have none."""
    found = []
    for name in tasks:
        task: Any = resolve(TASKS, name, "task")
        names = None if task.divides else task.names
        for unit, one in zip(task.units, tasks_of_units(name, task.units, task.metrics, names), strict=True):
            prefix = f"valid/{name}" if len(task.units) == 1 else f"valid/{name}/{unit}"
            if task.metrics:
                found.append(TaskMetrics(prefix, one))
            if task.metrics and unit == "goal" and not task.divides:
                found.append(TaskMetrics(f"{prefix}/on_given_goals", one, on_given_goals=True))
    return found


@dataclass(frozen=True, slots=True)
class Monitor:
    """The value of a validation that decides early stopping and the best epoch."""

    name: str = LOSS
    larger_is_better: bool = False

    def better(self, value: float | None, best: float | None) -> bool:
        """Whether a value is better than the best one so far; None is a value that is not defined."""
        if value is None or best is None:
            return value is not None
        return value > best if self.larger_is_better else value < best


def monitor_of(name: str, tasks: Sequence[str]) -> Monitor:
    """The monitor of that name in the training of these tasks. Raises UsageError for an unknown one."""
    known = {LOSS: False, **{f"{LOSS}/{task}": False for task in tasks}}
    known |= {key: one.larger_is_better for group in task_metrics(tasks) for key, one in group.names.items()}
    require(name, known, "length.monitor")
    return Monitor(name, known[name])


@dataclass(frozen=True)
class HeldOutReference:
    """A held-out dialogue as the model sees it, with the labels that are right.

    weights: of fields whose reference is a target; other fields weigh 1."""

    dialogue: Dialogue
    annotation: Annotation
    weights: Mapping[Field, float] = field(default_factory=dict)

    def weight(self, of: Field) -> float:
        return self.weights.get(of, 1.0)


@dataclass(frozen=True, slots=True)
class HeldOutPrediction:
    """A held-out dialogue whose labels are compared. predicted: end to end. on_given_goals: labels about the goals of the reference."""

    reference: HeldOutReference
    predicted: Annotation
    on_given_goals: Annotation

    def items(self, metrics: TaskMetrics) -> list[tuple[float, Item]]:
        """What the metrics compare, an item for each weight of the reference's fields."""
        task, reference = metrics.task, self.reference
        by_weight: dict[float, dict[Any, tuple[Label, ...]]] = {}
        for at, labels in answered(reference.annotation, task).items():
            by_weight.setdefault(reference.weight(Field(task.tasks[0], at)), {})[at] = labels
        predicted = answered(self.on_given_goals if metrics.on_given_goals else self.predicted, task)
        covered = reference.annotation.covered_turns
        return [
            (weight, item_of(reference.dialogue, task, fields, predicted, covered))
            for weight, fields in by_weight.items()
        ]


def reference_of(example: Example, exclusive: Mapping[str, Sequence[str]]) -> HeldOutReference:
    """The reference of an example. exclusive: the tasks of which exactly one name holds, with their names in order."""
    annotations = example.dialogue.annotations
    if len(annotations) == 1:
        (annotation,) = annotations
    else:
        annotation = consensus(annotations, exclusive, least=1).annotation
    annotated = {
        answer.field if isinstance(answer, NoLabel) else field_of(answer.task, answer.at)
        for a in annotations
        for answer in a.answers
    }
    by_field: dict[Field, list[Target]] = {}
    for target in example.targets:
        of = field_of(target.task, target.at)
        if of not in annotated:
            by_field.setdefault(of, []).append(target)
    labels, none, covered = list(annotation.labels), list(annotation.none), annotation.covered_turns
    weights: dict[Field, float] = {}
    for of, targets in by_field.items():
        likely = _most_likely(targets, of.task in exclusive)
        if likely is None:
            continue
        labels += likely
        none += [] if likely else [NoLabel(of.task, of.at)]
        weights[of] = max(target.weight for target in targets)
        if divides(of.task):
            covered = next((t.at.turns for t in targets if isinstance(t.at, AtGoal) and not t.distribution), None)
    whole = Annotation(REFERENCE, "rule", tuple(labels), tuple(none), covered_turns=covered)
    return HeldOutReference(replace(example.dialogue, annotations=()), whole, weights)


def _most_likely(targets: Sequence[Target], exclusive: bool) -> tuple[Label, ...] | None:
    """The most likely labels of one field; None where its targets leave them open: with a complement, with names that are unknown, or with
    equal probabilities of an exclusive task."""
    if not all(target.complete and target.distribution is not None for target in targets):
        return None
    if not exclusive:
        named = ((target, name, p) for target in targets for name, p in target.distribution or ())
        return tuple(Label(target.task, target.at, name) for target, name, p in named if p > 0.5)
    best = max(targets, key=lambda target: target.weight)
    ranked = sorted(best.distribution or (), key=lambda pair: -pair[1])
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return (Label(best.task, best.at, ranked[0][0]),)


class Validation(pl.Callback):
    """Compares the model's labels of held-out dialogues with their reference in each validation.

    Each process annotates its share of the batches; all have the metrics afterwards.

    tasks: of the model. values: metrics of the last validation, without those that are not defined."""

    def __init__(self, examples: Examples, tasks: Sequence[str]) -> None:
        self.examples = examples
        self.metrics = task_metrics(tasks)
        self.exclusive = exclusive_names([one.task for one in self.metrics])
        self.divides = any(map(divides, tasks))
        self.values: dict[str, float] = {}
        self._references: dict[int, HeldOutReference] = {}
        self._found: list[tuple[int, Rows | None]] = []

    def reference(self, index: int) -> HeldOutReference:
        """The reference of a dialogue; kept, since it is the same in every epoch."""
        if index not in self._references:
            self._references[index] = reference_of(self.examples.example(0, index), self.exclusive)
        return self._references[index]

    def goals(self, index: int) -> tuple[Goals, Goals]:
        """Goals that the model starts from to label a dialogue end to end, and those of the reference."""
        reference = self.reference(index)
        start = () if self.divides else tuple(goals_of(reference.dialogue, None)[0])
        return start, goals_in(reference.annotation)

    def check(self, monitor: Monitor, indices: Sequence[int]) -> None:
        """Raises UsageError if no labels of these dialogues, not even right ones, can give the monitored value."""
        if monitor.name == LOSS:
            return
        if (task := monitor.name.removeprefix(f"{LOSS}/")) != monitor.name:
            examples = (self.examples.example(0, index) for index in range(len(self.examples.corpus)))
            if any(target.task == task for example in examples for target in example.targets):
                return
            hint = "name another value, or add dialogues with targets of the task"
        else:
            right = [self._right(index) for index in indices]
            values = values_of([rows_of(one, self.metrics) for one in right], self.metrics)
            if monitor.name in values:
                return
            hint = f"defined there: {', '.join([LOSS, *values])}"
        raise UsageError(f"{monitor.name} is not defined on data.valid, even for right labels", "length.monitor", hint)

    def _right(self, index: int) -> HeldOutPrediction:
        """Right and certain labels of a dialogue."""
        reference = self.reference(index)
        labels = tuple(replace(label, probability=1.0, distribution=None) for label in reference.annotation.labels)
        right = replace(reference.annotation, annotator=MODEL, labels=labels)
        return HeldOutPrediction(reference, right, right)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._found = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: HeldOutBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for index, answers in zip(batch.indices, outputs["predictions"] or (), strict=False):
            rows = rows_of(self._prediction(index, answers), self.metrics) if _are_finite(answers) else None
            self._found.append((index, rows))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        whole = sorted((one for part in gather(trainer, self._found) for one in part), key=lambda one: one[0])
        self._found = []
        # Without finite probabilities nothing is measured; if the loss is not finite either, the recorder ends the run.
        rows = [one for _, one in whole if one is not None]
        finite = len(rows) == len(whole)
        # Values of another machine may differ in their last bit, and all processes have to decide the same.
        self.values = trainer.strategy.broadcast(values_of(rows, self.metrics) if finite else {})

    def _prediction(self, index: int, answers: tuple[Answers, Answers]) -> HeldOutPrediction:
        end_to_end, on_given = (
            annotation_of(name, "model", one)
            for name, one in zip((MODEL, str(SystemName(MODEL, on_given_goals=True))), answers, strict=True)
        )
        return HeldOutPrediction(self.reference(index), end_to_end, on_given)


def _are_finite(answers: tuple[Answers, Answers]) -> bool:
    return all(x.probability is None or math.isfinite(x.probability) for one in answers for x in one)


def rows_of(prediction: HeldOutPrediction, metrics: Sequence[TaskMetrics]) -> Rows:
    """What each metric keeps of a dialogue; empty lists where the reference answers nothing of its task."""
    rows: Rows = {}
    for group in metrics:
        items = prediction.items(group)
        tallied: dict[Callable[[Item], Row], list[tuple[float, Row]]] = {}
        for name, one in group.names.items():
            tally = one.tally
            if tally not in tallied:
                tallied[tally] = [(weight, tally(item)) for weight, item in items]
            rows[name] = tallied[tally]
    return rows


def values_of(dialogues: Sequence[Rows], metrics: Sequence[TaskMetrics]) -> dict[str, float]:
    """The metrics over the rows of all dialogues, without those that are not defined."""
    values: dict[str, float] = {}
    for group in metrics:
        for name, one in group.names.items():
            weighted = [pair for rows in dialogues for pair in rows[name]]
            times = np.array([[weight for weight, _ in weighted]])
            value = float(one.value([row for _, row in weighted], times)[0])
            if np.isfinite(value):
                values[name] = value
    return values
