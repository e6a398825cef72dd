"""One run of training, from options to a model folder; the same call goes on with what an earlier one left."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
import yaml

from labelgen import __version__
from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.data.quarantine import Quarantine
from labelgen.data.quarantine import told as set_aside
from labelgen.model.build import build_model, take_over
from labelgen.model.folder import load_model, read_card, save_model
from labelgen.model.label_model import LabelModel
from labelgen.training.checkpoint import LAST
from labelgen.training.checks import check_options
from labelgen.training.config import differences, plain, to_yaml
from labelgen.training.corpus import Corpus, Prepare
from labelgen.training.data import (
    AnnotatedExamples,
    ChosenTargets,
    CorruptedExamples,
    Examples,
    HeldOutExamples,
    target_counts,
    without_labels,
)
from labelgen.training.fit import CHECKPOINTS, Fitted, fit
from labelgen.training.options import FinetuneOptions, PretrainOptions, TrainingOptions
from labelgen.training.tracking import trackers

CONFIG = "config.yaml"
MODEL = "model"
METRICS = "metrics.jsonl"
STATE = "run.json"
QUARANTINE = "quarantine.jsonl"


@dataclass(frozen=True, slots=True)
class State:
    """What a run leaves beside its config. ended: why, once there is a model."""

    data_digest: str
    step: int = 0
    steps: int = 0
    elapsed_s: float = 0.0
    ended: str | None = None


def finetune(options: FinetuneOptions) -> str:
    """Train towards annotations and feedback; gives what is to be told of it, in the first process."""
    targets = options.targets
    hidden = targets.evidence_hidden if targets.feedback else 0.0
    prepare = ChosenTargets(targets, options.tasks)

    def examples(corpus: Corpus, training: bool) -> Examples:
        return AnnotatedExamples(corpus, hidden, options.seed) if training else HeldOutExamples(corpus, hidden > 0.0)

    return _run(options, "finetune", prepare, examples)


def pretrain(options: PretrainOptions) -> str:
    """Train towards corruptions of unlabelled dialogues; gives what is to be told of it, in the first process."""

    def examples(corpus: Corpus, training: bool) -> Examples:
        return CorruptedExamples(corpus, options.mixture, options.pool, options.seed)

    return _run(options, "pretrain", without_labels, examples)


class _MakeExamples(Protocol):
    def __call__(self, corpus: Corpus, training: bool) -> Examples: ...


def _run(options: TrainingOptions, command: str, prepare: Prepare, examples: _MakeExamples) -> str:
    check_options(options)
    folder = Path(options.out)
    before = open_run(folder, options)
    if before is not None and before.ended is not None:
        return f"{folder} is already done ({before.ended}, step {before.step:,}); the model is {folder / MODEL}"
    if options.hardware.threads is not None:
        torch.set_num_threads(options.hardware.threads)
    data = options.data
    # The logs are read anew at each sitting, and so is what is wrong with them.
    (folder / QUARANTINE).unlink(missing_ok=True)
    with closing(Quarantine(folder / QUARANTINE)) as bad, ExitStack() as stack:

        def read(logs: Sequence[str]) -> Corpus:
            return stack.enter_context(closing(Corpus(logs, data.format, data.max_bad_rate, prepare, command, bad)))

        corpus = read(data.train)
        _check_data(corpus, "data.train", before, folder)
        validation = None
        if data.valid:
            held = read(data.valid)
            _check_data(held, "data.valid", None, folder)
            validation = examples(held, training=False)
        told = _train(options, command, examples(corpus, training=True), validation)
        return f"{told}\n{set_aside(bad.reasons, f'in {bad}')}" if told and bad.reasons else told


def _train(options: TrainingOptions, command: str, training: Examples, validation: Examples | None) -> str:
    folder, corpus = Path(options.out), training.corpus
    torch.manual_seed(options.seed)
    model = build_model(options.model, options.tasks, corpus.labels, corpus)
    new = take_over(model, load_model(Path(options.init))) if options.init is not None else None
    write_text(folder / CONFIG, to_yaml(options))
    _write_state(folder, State(corpus.digest))
    told = trackers(options.tracking, folder, folder / METRICS, plain(options))
    fitted = fit(options, model, training, validation, folder, told)
    if fitted.first:
        save_model(fitted.model, folder / MODEL, _card(options, command, corpus, fitted, new))
        ended = "all steps" if fitted.step >= fitted.steps else "length.max_minutes"
        _write_state(folder, State(corpus.digest, fitted.step, fitted.steps, fitted.elapsed_s, ended))
    return _summary(options, corpus, fitted, new) if fitted.first else ""


def open_run(folder: Path, options: TrainingOptions) -> State | None:
    """What an earlier sitting of this run left in the folder; None where it is new, or nothing was learnt in it yet, so that
    a command that failed may be mended.

    Raises UsageError where the folder holds something else, or a run of another config, naming what differs."""
    # A quarantine alone is of logs that were too bad to begin with.
    if not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= {QUARANTINE}):
        return None
    if not (folder / STATE).is_file() or not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} holds something, but no run of training", str(folder), "name another folder")
    state = msgspec.json.decode((folder / STATE).read_bytes(), type=State)
    # Who has a model may have made room by removing the checkpoints.
    if state.ended is None and not (folder / CHECKPOINTS / LAST).is_file():
        return None
    differing = differences(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")), options)
    if differing:
        raise UsageError(
            f"{folder} holds a run of another config: {'; '.join(differing)}",
            str(folder / CONFIG),
            "name another folder, or give the options of that run to go on with it",
        )
    allowed = options.length.max_minutes
    if state.ended is not None and state.step < state.steps and (allowed is None or 60 * allowed > state.elapsed_s):
        return State(state.data_digest)
    return state


def _write_state(folder: Path, state: State) -> None:
    write_text(folder / STATE, msgspec.json.encode(state).decode() + "\n")


def _check_data(corpus: Corpus, key: str, before: State | None, folder: Path) -> None:
    if not len(corpus):
        raise InputError(
            f"none of {corpus.read:,} dialogues has anything to learn from",
            key,
            "check targets.annotators, targets.feedback and tasks; `labelgen data stats` shows what a log has",
        )
    if before is not None and before.data_digest != corpus.digest:
        raise UsageError(
            "the training data are not those that this run began with", str(folder), "name another folder to begin anew"
        )


def _card(
    options: TrainingOptions, command: str, corpus: Corpus, fitted: Fitted, new: list[str] | None
) -> Mapping[str, Any]:
    return {
        "command": command,
        "config": plain(options),
        "learnt_from_feedback": _learnt_from_feedback(options),
        "data_digest": corpus.digest,
        "dialogues": len(corpus),
        "turns": int(corpus.turns.sum()),
        "targets": target_counts(corpus),
        "step": fitted.step,
        "steps": fitted.steps,
        "elapsed_s": round(fitted.elapsed_s, 1),
        "not_taken_over": new,
        "versions": {
            "labelgen": __version__,
            "torch": str(torch.__version__),
            "lightning": version("pytorch-lightning"),
        },
    }


def _learnt_from_feedback(options: TrainingOptions) -> bool:
    """It, or the model that it began from."""
    if isinstance(options, FinetuneOptions) and options.targets.feedback:
        return True
    return options.init is not None and bool(read_card(Path(options.init)).get("learnt_from_feedback", True))


def _summary(options: TrainingOptions, corpus: Corpus, fitted: Fitted, new: list[str] | None) -> str:
    targets = ", ".join(f"{count:,} of {task}" for task, count in target_counts(corpus).items())
    lines = [
        f"trained {fitted.step:,} of {fitted.steps:,} steps in {fitted.elapsed_s / 60:,.1f} min",
        f"on {len(corpus):,} of {corpus.read:,} dialogues, {int(corpus.turns.sum()):,} turns"
        + (f"; targets: {targets}" if targets else ""),
        f"encoder: {options.model.encoder} ({_origin(fitted.model)})",
    ]
    if fitted.sound:
        lines.append(fitted.sound)
    if new is not None:
        parts = Counter(".".join(name.split(".")[:2]) for name in new)
        named = ", ".join(f"{part} ({count})" for part, count in parts.items())
        lines.append(f"from {options.init}; weights that are new: {named or 'none'}")
    return "\n".join([*lines, f"model: {Path(options.out) / MODEL}"])


def _origin(model: LabelModel) -> str:
    return ", ".join(f"{key} {value}" for key, value in model.origin.items() if isinstance(value, str))
