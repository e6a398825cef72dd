"""What Weights & Biases shows of each validation: confusion matrices, reliability diagrams and, only if asked, example predictions."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn, Label
from labelgen.tasks.diagrams import confusions, reliability
from labelgen.tasks.evaluation import answered
from labelgen.training.validation import MODEL, HeldOutPrediction, TaskMetrics, Validation
from labelgen.training.wandb_run import DataTable, FailSafeTracker, RunChart
from labelgen.training.wandb_tables import confusion_table, reliability_table

EXAMPLES = "examples"
COLUMNS = ("dialogue", "turn", "request", "response", "task", "reference", "prediction", "probability")
"""Columns of the table of examples."""


class ValidationCharts(pl.Callback):
    """Adds charts to the row of a validation. examples: number of dialogues whose texts and predictions are a table."""

    def __init__(self, tracker: FailSafeTracker, validation: Validation, examples: int) -> None:
        self.tracker = tracker
        self.validation = validation
        self.examples = examples

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        step, predictions, metrics = trainer.global_step, self.validation.predictions, self.validation.metrics

        def show() -> Iterator[tuple[str, RunChart | DataTable]]:
            for group in metrics:
                yield from charts(predictions, group)
            if self.examples:
                yield EXAMPLES, example_table(predictions[: self.examples], metrics)

        self.tracker.attempt(lambda run: run.show(step, dict(show())))


def charts(predictions: Sequence[HeldOutPrediction], metrics: TaskMetrics) -> Iterator[tuple[str, RunChart]]:
    """The diagrams of a task, by name: of counts and label names alone. Every compared field counts once, whatever its weight."""
    items = [item for one in predictions for _, item in one.items(metrics)]
    if (matrix := confusions(MODEL, items, metrics.task)) is not None:
        yield f"{metrics.prefix}/confusion", RunChart("confusion_matrix", confusion_table(matrix), metrics.prefix)
    if (diagram := reliability(MODEL, items)) is not None:
        yield f"{metrics.prefix}/reliability", RunChart("reliability", reliability_table(diagram), metrics.prefix)


def example_table(predictions: Sequence[HeldOutPrediction], metrics: Sequence[TaskMetrics]) -> DataTable:
    """A row for each field that the reference answers."""
    rows = [row for one in predictions for group in metrics if not group.on_given_goals for row in _rows(one, group)]
    return DataTable(COLUMNS, rows)


def _rows(one: HeldOutPrediction, group: TaskMetrics) -> Iterator[tuple[Any, ...]]:
    dialogue = one.reference.dialogue
    wanted, predicted = (answered(x, group.task) for x in (one.reference.annotation, one.predicted))
    for at, labels in wanted.items():
        turn = at.turn if isinstance(at, AtTurn | AtSpan) else None
        request, response = (
            (None, None) if turn is None else (dialogue.turns[turn].request, dialogue.turns[turn].response)
        )
        answer = predicted.get(at)
        known = [label.probability for label in answer or () if label.probability is not None]
        yield (
            dialogue.id,
            _place(at),
            request,
            response,
            group.task.name,
            _names(dialogue, at, labels),
            None if answer is None else _names(dialogue, at, answer),
            min(known) if known else None,
        )


def _place(at: At) -> str:
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return str(turn)
        case AtGoal(turns):
            return " ".join(map(str, turns))
        case AtDialogue():
            return ""


def _names(dialogue: Dialogue, at: At, labels: Sequence[Label]) -> str:
    """The names of labels, with their words or turns where these are part of the answer; `none` for no label."""
    shown = []
    for label in labels:
        if isinstance(label.at, AtSpan):
            shown.append(f"{label.name}={dialogue.turns[label.at.turn].request[label.at.start : label.at.end]}")
        else:
            shown.append(label.name if label.at == at else f"{label.name} {_place(label.at)}")
    return "; ".join(shown) or "none"
