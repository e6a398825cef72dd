"""What Weights & Biases gets of data, models, evaluations and calibrations: digests, counts, metrics and label names, no texts or ids."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelgen.metrics.results import (
    CEILING,
    HUMAN,
    Confusion,
    Estimate,
    Evaluation,
    Reliability,
    SystemName,
    TaskResult,
)
from labelgen.model.calibration import Calibration
from labelgen.training.wandb_run import DataTable, LineageArtifact, RunAddress

DATASET, MODEL, EVALUATION = "dataset", "model", "evaluation"
"""Kinds of artifacts."""
_CARD = (
    "command",
    "data_digest",
    "code_digest",
    "dialogues",
    "turns",
    "targets",
    "step",
    "steps",
    "learned_from_feedback",
    "versions",
    "isa",
)
"""Values of a model card that its artifact has: the others are in the run's config, or name nothing but words and paths."""


def data_artifact(part: str, digest: str | None, counts: Mapping[str, Any]) -> LineageArtifact:
    """Input data. part: training, validation, evaluation or calibration."""
    return LineageArtifact(f"{part}-data", DATASET, digest, {"sha256": digest, **counts})


def model_artifact(
    digest: str, card: Mapping[str, Any], address: RunAddress | None, files: Sequence[Path] = ()
) -> LineageArtifact:
    """A model, by its run: a calibrated one is another version. address: None for a model of no run."""
    known = {name: card[name] for name in _CARD if name in card}
    return LineageArtifact(model_name(address), MODEL, digest, {"sha256": digest, **known}, files=files)


def model_name(address: RunAddress | None) -> str:
    """Name of a model's artifact."""
    return "model" if address is None else f"model-{address.id}"


def evaluation_artifact(
    evaluation: Evaluation, name: str, system: str, model_digest: str, digest: str, files: Sequence[Path] = ()
) -> LineageArtifact:
    """An evaluation: metrics with intervals, confusion matrices and reliability, without examples, slices and ties.

    digest: of evaluation.json. system: the model's name there."""
    metadata = {
        "sha256": digest,
        "model": model_digest,
        "predictions": evaluation.data.digest,
        "dialogues": evaluation.data.judged,
        "others": evaluation.setting.others,
        "ratings": evaluation.setting.ratings,
        "seed": evaluation.setting.seed,
        "resamples": evaluation.setting.resamples,
        "versions": evaluation.versions,
    }
    tables = {"metrics": metrics_table(evaluation, system)}
    for task in evaluation.tasks:
        key = task_key(task.name)
        for shown, view in _views(system, "-").items():
            tables |= {f"confusion-{key}{view}": confusion_table(one) for one in task.confusion if one.system == shown}
            tables |= {
                f"reliability-{key}{view}": reliability_table(one) for one in task.reliability if one.system == shown
            }
    return LineageArtifact(name, EVALUATION, digest, metadata, tables, files)


def evaluation_summary(evaluation: Evaluation, name: str, system: str) -> dict[str, float]:
    """NAME/TASK/METRIC -> value of a system, also on the reference's goals and with the feedback masked."""
    return {
        f"{name}/{task_key(task.name)}{view}/{metric}": estimate.value
        for task in evaluation.tasks
        for shown, view in _views(system, "/").items()
        if (row := task.row(shown)) is not None
        for metric, estimate in row.metrics.items()
        if estimate.value is not None
    }


def metrics_table(evaluation: Evaluation, system: str) -> DataTable:
    """Every metric of a model, the human baseline and the baselines that were learned. Other annotators stay out, as they may be people."""
    columns = ("task", "unit", "system", "metric", "main", "value", "low", "high", "items", "dialogues")
    return DataTable(columns, [row for task in evaluation.tasks for row in _metric_rows(task, system)])


def _views(system: str, joint: str) -> dict[str, str]:
    """Names of a model among the systems -> part of a key, empty for the model as it is."""
    return {
        system: "",
        str(SystemName(system, on_given_goals=True)): f"{joint}on_given_goals",
        str(SystemName(system, masked=True)): f"{joint}feedback_masked",
    }


def _metric_rows(task: TaskResult, system: str) -> Iterator[tuple[Any, ...]]:
    for row in task.rows:
        if row.system in _views(system, "") or row.system in (HUMAN, CEILING) or row.kind == "rule":
            for metric, one in row.metrics.items():
                yield (task.name, task.unit, row.system, metric, metric == task.main_metric, *_bounds(one))


def _bounds(one: Estimate) -> tuple[Any, ...]:
    return one.value, one.low, one.high, one.items, one.dialogues


def confusion_table(one: Confusion) -> DataTable:
    """A row for each pair of labels, as W&B's confusion matrix reads it."""
    rows = [
        (label, column, count)
        for label, counts in zip(one.labels, one.counts, strict=True)
        for column, count in zip(one.columns, counts, strict=True)
    ]
    return DataTable(("Actual", "Predicted", "nPredictions"), rows)


def reliability_table(one: Reliability) -> DataTable:
    """A row for each bin of probability."""
    rows = [(row.low, row.high, row.items, row.probability, row.accuracy) for row in one.bins]
    return DataTable(("low", "high", "items", "probability", "accuracy"), rows)


def calibration_summary(calibration: Calibration) -> dict[str, Any]:
    """calibration/TASK, UNIT/VALUE -> scaling, threshold and what was measured."""
    values: dict[str, Any] = {}
    for one in calibration.tasks:
        found: dict[str, Any] = {"kind": one.labels.kind, "temperature": one.labels.temperature}
        if one.certificate is not None:
            found["threshold"] = one.threshold
        for name in ("coverage", "precision"):
            if isinstance(interval := one.measured.get(name), Mapping):
                found[name] = interval.get("value")
        values |= {
            f"calibration/{one.task}_{one.unit}/{name}": value for name, value in found.items() if value is not None
        }
    return values


def task_key(task: str) -> str:
    """Name of an evaluation task as part of a key, such as outcome_goal."""
    return task.replace(", ", "_").replace(" ", "_")
