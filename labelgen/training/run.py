"""One run of training, from options to a model folder; the same call goes on with what an earlier one left."""

import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast, get_args

import msgspec
import torch
import yaml
from pytorch_lightning.utilities import rank_zero_only

from labelgen.base.errors import InputError, UsageError, integrity_errors
from labelgen.base.files import read_json, sweep, write_text
from labelgen.base.printable import print_lines
from labelgen.data.grouping import GROUPED
from labelgen.data.quarantine import Quarantine
from labelgen.data.quarantine import told as set_aside
from labelgen.kernels.processor import choose_instruction_set
from labelgen.model.build import build_model, take_over
from labelgen.model.folder import COMPLETE, check_model, joined, load_model, save_model
from labelgen.training.account import BEFORE, CONFIG, MODEL, NO_BEST, card, diverged, summary
from labelgen.training.checkpoint import CheckpointFolder
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
from labelgen.training.fit import CHECKPOINTS, TIME, fit
from labelgen.training.hardware import Precision, auto_precision
from labelgen.training.options import FinetuneOptions, PretrainOptions, TrainingOptions
from labelgen.training.tracking import trackers

METRICS = "metrics.jsonl"
STATE = "run.json"
QUARANTINE = "quarantine.jsonl"
FINETUNE, PRETRAIN = "finetune", "pretrain"
_ANEW = "restore the file, or name another folder to train anew"


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

    return _run(options, FINETUNE, prepare, examples)


def pretrain(options: PretrainOptions) -> str:
    """Train towards corruptions of unlabeled dialogues; gives what is to be told of it, in the first process."""

    def examples(corpus: Corpus, training: bool) -> Examples:
        return CorruptedExamples(corpus, options.mixture, options.pool, options.seed)

    return _run(options, PRETRAIN, without_labels, examples)


class _MakeExamples(Protocol):
    def __call__(self, corpus: Corpus, training: bool) -> Examples: ...


def _run(options: TrainingOptions, command: str, prepare: Prepare, examples: _MakeExamples) -> str:
    check_options(options)
    choose_instruction_set()
    if options.hardware.threads is not None:
        torch.set_num_threads(options.hardware.threads)
    options = _with_precision(options)
    folder = Path(options.out)
    before = open_run(folder, options)
    if before is not None and before.ended is not None:
        return f"{folder} is already done ({before.ended}, step {before.step:,}); the model is {folder / MODEL}"
    if options.init is not None:
        check_model(Path(options.init))
    data = options.data
    # The logs are read anew at each sitting, and so is what is wrong with them.
    (folder / QUARANTINE).unlink(missing_ok=True)
    with closing(Quarantine(folder / QUARANTINE)) as bad, ExitStack() as stack:

        def read(logs: Sequence[str]) -> Corpus:
            return stack.enter_context(
                closing(Corpus(logs, data.format, data.max_bad_rate, prepare, command, bad, data.options))
            )

        corpus = read(data.train)
        _check_data(corpus, "data.train", before, folder)
        targets = target_counts(corpus)
        if command == FINETUNE:
            _check_taught(options.tasks, targets)
        validation = None
        if data.valid:
            held = read(data.valid)
            _check_data(held, "data.valid", None, folder)
            validation = examples(held, training=False)
        elif options.length.keep == "best":
            rank_zero_only(print_lines)(f"{command}: {NO_BEST}", file=sys.stderr)
        told = _train(options, command, examples(corpus, training=True), validation, targets)
        return f"{told}\n{set_aside(bad.reasons, f'in {bad}')}" if told and bad.reasons else told


def _with_precision(options: TrainingOptions) -> TrainingOptions:
    """With the precision that `auto` stands for: the one in the folder's config, from an earlier sitting or from the process that started
    this one; else the one for this machine."""
    hardware = options.hardware
    if hardware.precision != "auto":
        return options
    precision = _recorded_precision(Path(options.out) / CONFIG) or auto_precision(hardware, options.model)
    return replace(options, hardware=replace(hardware, precision=precision))


def _recorded_precision(config: Path) -> Precision | None:
    """None where there is no config; one that is damaged is reported by open_run."""
    with suppress(OSError, UnicodeError, yaml.YAMLError, KeyError, TypeError):
        found = yaml.safe_load(config.read_text(encoding="utf-8"))["hardware"]["precision"]
        if found in get_args(Precision):
            return cast(Precision, found)
    return None


def _train(
    options: TrainingOptions,
    command: str,
    training: Examples,
    validation: Examples | None,
    targets: Mapping[str, int],
) -> str:
    folder, corpus = Path(options.out), training.corpus
    torch.manual_seed(options.seed)
    model = build_model(options.model, options.tasks, corpus.labels, corpus)
    new = take_over(model, load_model(Path(options.init))) if options.init is not None else None
    # In this order: a folder with a state is a run, however soon it was killed.
    _write_state(folder, State(corpus.digest))
    write_text(folder / CONFIG, to_yaml(options))
    told = trackers(options.tracking, folder, folder / METRICS, plain(options))
    fitted = fit(options, model, training, validation, folder, told)

    def save(name: str) -> None:
        # Pretraining learns no labels.
        init = None if options.init is None else Path(options.init)
        trained_on, complete = joined(corpus.fingerprints if command == FINETUNE else (), init)
        made = card(options, command, corpus, targets, fitted, new)
        save_model(fitted.model, folder / name, {**made, COMPLETE: complete}, trained_on)

    if fitted.diverged is not None:
        if fitted.step:
            save(BEFORE)
        raise diverged(options, command, fitted)
    if fitted.first:
        sweep(folder)
        save(MODEL)
        _write_state(folder, State(corpus.digest, fitted.step, fitted.steps, fitted.elapsed_s, fitted.ended))
    return summary(options, corpus, targets, fitted, new) if fitted.first else ""


def open_run(folder: Path, options: TrainingOptions) -> State | None:
    """What an earlier sitting of this run left in the folder; None where it is new, or nothing was learned in it yet, so that
    a command that failed may be fixed.

    Raises UsageError where the folder holds something else, or a run of another config, naming what differs, and
    IntegrityError where its files are damaged."""
    if not folder.exists() or (folder.is_dir() and all(map(_is_nothing, folder.iterdir()))):
        return None
    if not (folder / STATE).is_file():
        raise UsageError(f"{folder} holds something, but no run of training", str(folder), "name another folder")
    state = read_json(folder / STATE, State, _ANEW)
    # Who has a model may have made room by removing the checkpoints.
    if state.ended is None and CheckpointFolder(folder / CHECKPOINTS).index() is None:
        return None
    with integrity_errors(f"{CONFIG} of the run cannot be read", folder / CONFIG, _ANEW):
        saved = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(saved, dict) or (lacking := sorted(plain(options).keys() - saved.keys())):
            raise ValueError(f"it lacks {', '.join(lacking)}" if isinstance(saved, dict) else "it holds no options")
        differing = differences(saved, options)
    if differing:
        raise UsageError(
            f"{folder} holds a run of another config: {'; '.join(differing)}",
            str(folder / CONFIG),
            "name another folder, or give the options of that run to go on with it",
        )
    allowed = options.length.max_minutes
    if state.ended == TIME and (allowed is None or 60 * allowed > state.elapsed_s):
        return State(state.data_digest)
    return state


def _is_nothing(path: Path) -> bool:
    """Left by a command that ended before it began to learn: a quarantine of logs that were too bad, or half a state."""
    return path.name == QUARANTINE or path.match(f".{STATE}.*.part")


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


def _check_taught(tasks: Collection[str], targets: Mapping[str, int]) -> None:
    """What people do not annotate is in no log, or in one that was made for it."""
    for task in tasks:
        if task not in GROUPED and not targets.get(task):
            raise UsageError(
                f"nothing in the training logs teaches {task!r}",
                f"tasks.{task}",
                "leave the task out, or learn it by labelgen pretrain",
            )
