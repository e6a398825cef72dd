"""Model card: README.md of a model folder, for people and for the Hugging Face hub. labelgen never reads it.

Every figure in it comes from the other files of the folder or from one evaluation. What is not known is called not measured."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from labelgen import __version__
from labelgen.base.terminal import printable
from labelgen.metrics.results import HUMAN, Estimate, Evaluation, TaskResult

MODEL_CARD = "README.md"
LIBRARY = "labelgen"

WEAK, ADDED = "weak", "added"
"""Entries of card.json: task -> unit -> why its labels are withheld; lines that say what each member of a task adds."""

_NOT_MEASURED = "Not measured."
_MAX_LABELS = 20
"""Labels of a task that are listed by name."""


def model_card(
    card: Mapping[str, Any],
    labels: Mapping[str, Sequence[str]],
    calibration: Any = None,
    evaluation: Evaluation | None = None,
    system: str = "model",
) -> str:
    """Markdown with a metadata block.

    Args:
        card: content of card.json.
        labels: task -> names of its labels.
        calibration: labelgen.model.calibration.Calibration of the model, None without one.
        evaluation: of the model as it is in the folder, None if it is not measured; system: its name there."""
    from huggingface_hub import ModelCard, ModelCardData

    encoder: Mapping[str, Any] = card.get("encoder") or {}
    data = ModelCardData(
        library_name=LIBRARY,
        tags=[LIBRARY, "dialogue", "user-feedback", *labels],
        # Without a package the name may be that of a folder.
        base_model=encoder.get("name") if "package" in encoder else None,
        model_name=LIBRARY,
    )
    body = "\n".join(
        (
            *("# Dialogue annotator", "", *weak_lines(card.get(WEAK) or {}), *_intended_use(labels)),
            *("", "## Data", "", *_data(card)),
            *("", "## Metrics", "", *_metrics(evaluation, system)),
            *("", "## Calibration and thresholds", "", *_thresholds(calibration)),
            *("", "## Limits", "", *_limits(card, calibration, evaluation)),
            *("", "## License", "", *_license(encoder)),
        )
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def weak_lines(weak: Mapping[str, Mapping[Any, str]]) -> list[str]:
    """A line for each task and unit whose labels are withheld, and what would help."""
    return [
        f"NO LABELS of {task} of a {unit}: {reason}; answers of users or labels of people would help, --keep-weak writes them"
        for task, by_unit in sorted(weak.items())
        for unit, reason in sorted(by_unit.items())
    ]


def _intended_use(labels: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"A [labelgen](https://pypi.org/project/labelgen/) model, written by version {__version__}."
    yield from ("", "## Intended use", "")
    yield "It labels finished dialogues between people and an assistant, as a draft for people to review and as training data:"
    yield ""
    for task, names in labels.items():
        shown = ", ".join(_cell(name) for name in names[:_MAX_LABELS])
        yield f"- {_cell(task)}: {len(names):,} labels ({shown}{', ...' if len(names) > _MAX_LABELS else ''})"
    yield from ("", "It was not assessed for decisions about single users.", "")
    yield from (
        "```py",
        "from labelgen import Annotator",
        "",
        'annotator = Annotator.from_pretrained("OWNER/NAME")',
        "```",
    )


def _data(card: Mapping[str, Any]) -> Iterator[str]:
    if not card.get("data_digest"):
        yield "The training data are not known."
        return
    config: Mapping[str, Any] = card.get("config") or {}
    files = [PurePath(str(path)).name for path in (config.get("data") or {}).get("train") or ()]
    yield f"- training log: {', '.join(map(_cell, files)) or 'not named'}; SHA-256 `{_cell(card['data_digest'])}`"
    if "dialogues" in card:
        yield f"- {card['dialogues']:,} dialogues with {card.get('turns', 0):,} turns"
    for task, count in (card.get("targets") or {}).items():
        yield (
            f"- {count:,} training targets of {_cell(task)}"
            if isinstance(count, int)
            else f"- targets of {_cell(task)}"
        )
    yield from (f"- members: {_cell(line)}" for line in card.get(ADDED) or ())
    learned = "annotations and user feedback" if card.get("learned_from_feedback", True) else "annotations"
    yield f"- learned from {learned}"
    yield f"- {_cell(card.get('command', 'finetune'))}, {card.get('step', 0):,} steps; all options stand in `card.json`"


def _metrics(evaluation: Evaluation | None, system: str) -> Iterator[str]:
    if evaluation is None:
        yield f"{_NOT_MEASURED} `labelgen evaluate` writes the figures here. Training and calibration remove them, as they change the model."
        return
    where = evaluation.data
    files = ", ".join(_cell(PurePath(path).name) for path in where.paths)
    level = f"{evaluation.setting.level:.0%}"
    yield (
        f"{where.judged:,} judged dialogues of {files}, SHA-256 of the predictions `{where.digest}`. Reference: "
        f"{_cell(evaluation.setting.reference)}. In parentheses: {level} intervals, by bootstrap over users."
    )
    trained = sum(one.trained_on or 0 for one in where.annotated if one.system == system)
    if trained:
        yield f"The model was trained on {trained:,} of the dialogues, so these figures are too good."
    yield from (
        "",
        "| task | metric | model | human baseline (one annotator) | items | dialogues |",
        "| --- " * 6 + "|",
    )
    for task in evaluation.tasks:
        row, human = task.row(system), task.row(HUMAN)
        for metric, estimate in () if row is None else row.metrics.items():
            other = None if human is None else human.metrics.get(metric)
            main = " (main)" if metric == task.main_metric else ""
            yield (
                f"| {_cell(_task(task))} | {_cell(metric)}{main} | {_shown(estimate)} | {_shown(other)} | "
                f"{estimate.items:,} | {estimate.dialogues:,} |"
            )


def _thresholds(calibration: Any) -> Iterator[str]:
    if calibration is None:
        yield f"{_NOT_MEASURED} The probabilities are as the network gives them, and the model never abstains."
        return
    yield f"Probabilities are compared with {_cell(calibration.against)}."
    if calibration.max_error is not None:
        yield (
            f"Each threshold bounds the share of wrong labels above it by {calibration.max_error:.1%} with "
            f"{calibration.confidence:.0%} confidence, at precision {_cell(calibration.precision)}, for dialogues like those it "
            "was certified on."
        )
    yield from ("", "| task | unit | scaling | threshold | coverage | precision |", "| --- " * 6 + "|")
    for one in calibration.tasks:
        certificate = one.certificate
        measured = {} if certificate is None or one.threshold is None else one.measured
        why = "not certified" if certificate is None else f"none: {certificate.reason}"
        threshold = why if one.threshold is None else f"{one.threshold:.3f}"
        shown = (_shown_mapping(measured.get(name)) for name in ("coverage", "precision"))
        named = f"{one.task}, except {', '.join(one.idle)}" if one.idle else one.task
        yield f"| {_cell(named)} | {_cell(one.unit)} | {_cell(one.labels.kind)} | {_cell(threshold)} | {' | '.join(shown)} |"


def _limits(card: Mapping[str, Any], calibration: Any, evaluation: Evaluation | None) -> Iterator[str]:
    yield "- Figures hold for dialogues like the measured ones. `labelgen drift` tests whether a log differs."
    if card.get("learned_from_feedback", True):
        yield "- It may have learned from user feedback. Users who give no feedback may be labeled worse."
    if not card.get("trained_on_complete"):
        yield "- Not all of its training dialogues are known, so a test dialogue may be one of them."
    if calibration is None or not calibration.thresholds():
        yield "- It has no certified threshold: it labels every field, however improbable the label."
    if evaluation is None:
        yield "- Its errors were not measured."
    yield "- Words of the training texts may stand in its files (n-grams, tokenizer); whole texts do not."


def _license(encoder: Mapping[str, Any]) -> Iterator[str]:
    yield f"- encoder: {_cell(encoder.get('name', 'not known'))}; license: {_cell(encoder.get('license') or 'not known')}"
    yield "- training data and this model: not stated. State it here before you share the model."


def _task(task: TaskResult) -> str:
    return f"{task.name} of a {task.unit}"


def _shown(value: Estimate | None) -> str:
    return _shown_mapping(None if value is None else {"value": value.value, "low": value.low, "high": value.high})


def _shown_mapping(value: Mapping[str, float | None] | None) -> str:
    at, low, high = (None if value is None else value.get(name) for name in ("value", "low", "high"))
    if at is None:
        return "not measured"
    return f"{at:.3f}" if low is None or high is None else f"{at:.3f} ({low:.3f} to {high:.3f})"


def _cell(text: object) -> str:
    """Text of a log or a file, which may hold anything, as one line that is no Markdown."""
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", printable(str(text)))
