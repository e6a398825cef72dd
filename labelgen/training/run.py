"""A training run: from options to a model folder with its card, and the summary. The same call resumes an interrupted run."""

import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
import yaml
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from labelgen import __version__
from labelgen.base.errors import DivergedError, InputError, UsageError, integrity_errors
from labelgen.base.files import read_json, sweep, write_text
from labelgen.base.options import check_options
from labelgen.base.process import end_with_first_process
from labelgen.base.registry import resolve
from labelgen.base.terminal import print_lines
from labelgen.base.yaml_text import plain, to_yaml
from labelgen.data.groups import GROUPED
from labelgen.data.labels import UNIT_OF, Unit, is_annotated
from labelgen.data.log import Quarantine, quarantine_text
from labelgen.features.pretrained import origin_summary
from labelgen.model.build import build_model, take_over
from labelgen.model.card import ADDED, WEAK, weak_lines
from labelgen.model.folder import (
    COMPLETE,
    check_model,
    joined_trained_on,
    load_model,
    read_card,
    save_model,
)
from labelgen.model.label_model import LabelModel
from labelgen.pretraining.corruption import without_answers
from labelgen.tasks import TASKS
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.training.checkpoints import CheckpointFolder
from labelgen.training.corpus import (
    AnnotatedExamples,
    ChosenTargets,
    Corpus,
    CorruptedExamples,
    Examples,
    Prepare,
    target_counts,
)
from labelgen.training.fit import CHECKPOINTS, FitResult, fit
from labelgen.training.lora import add_adapters, check_peft, merge_adapters
from labelgen.training.members import ShareFit, fit_shares
from labelgen.training.options import FinetuneOptions, PretrainOptions, TrainingOptions, check_taught, differences
from labelgen.training.validation import monitor_of
from labelgen.training.wandb_run import (
    LineageArtifact,
    WandbRun,
    data_artifact,
    model_artifact,
    read_address,
    run_of_training,
)

CONFIG = "config.yaml"
STATE = "run.json"
QUARANTINE = "quarantine.jsonl"
DATA = "data"
"""Folder of the logs that `labelgen.finetune` writes."""
PRETRAINED = "pretrained"
"""Folder of the run of pretraining that a finetuning begins with."""
MODEL = "model"
FINETUNE, PRETRAIN = "finetune", "pretrain"
NO_HEADS = "no steps of the network: its linear members learn every task"
_DIVERGED = "name another folder, and give a tenth of optimizer.learning_rate and of optimizer.encoder_learning_rate"
_NO_BEST = "without data.valid the best epoch is unknown (length.keep), so the last weights become the model"
_HINT = "restore the file, or name another folder to start a new training"


@dataclass(frozen=True, slots=True)
class RunState:
    """State of a run in its folder. done: whether there is a model."""

    data_digest: str
    step: int = 0
    steps: int = 0
    elapsed_s: float = 0.0
    done: bool = False


def finetune(options: FinetuneOptions, callbacks: Sequence[Callback] = (), loggers: Sequence[Logger] = ()) -> str:
    """Train on annotations and feedback. Returns the summary in the first process, else an empty text.

    callbacks, loggers: further ones of Lightning."""
    options = _after_pretraining(check_options(options))
    targets = options.targets
    prepare = ChosenTargets(targets, options.tasks)
    prepare_held_out = ChosenTargets(targets, options.tasks, keep_annotations=True)

    def examples(corpus: Corpus, training: bool) -> Examples:
        return AnnotatedExamples(corpus, options.seed, options.augment if training else None)

    return _run(options, FINETUNE, prepare, prepare_held_out, examples, callbacks, loggers)


def pretrain(options: PretrainOptions, callbacks: Sequence[Callback] = (), loggers: Sequence[Logger] = ()) -> str:
    """Train on corruptions of unlabeled dialogues. Returns the summary in the first process, else an empty text.

    callbacks, loggers: further ones of Lightning."""

    def examples(corpus: Corpus, training: bool) -> Examples:
        return CorruptedExamples(corpus, options.mixture, options.seed, options.single)

    check_taught(options)
    return _run(options, PRETRAIN, without_answers, without_answers, examples, callbacks, loggers)


def _after_pretraining(options: FinetuneOptions) -> FinetuneOptions:
    """The options with the model of a pretraining as `init`, which is run or finished first, if they ask for one."""
    if options.init is not None or not options.mixture:
        return options
    out = Path(options.out) / PRETRAINED
    after = replace(options, init=str(out / MODEL))
    open_run(Path(options.out), after)
    pretrain(options.pretraining(str(out)))
    while not read_json(out / STATE, RunState, _HINT).done:
        # The first process saves the model, and all start from it.
        time.sleep(0.1)
    return after


class _MakeExamples(Protocol):
    def __call__(self, corpus: Corpus, training: bool) -> Examples: ...


def _run(
    options: TrainingOptions,
    command: str,
    prepare: Prepare,
    prepare_held_out: Prepare,
    examples: _MakeExamples,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
) -> str:
    options = check_options(options)
    check_peft(options.lora)
    end_with_first_process()
    if options.hardware.threads is not None:
        torch.set_num_threads(options.hardware.threads)
    folder = Path(options.out)
    earlier = open_run(folder, options)
    if earlier is not None and earlier.done:
        return f"{folder} is already done (step {earlier.step:,}); the model is {folder / MODEL}"
    if options.init is not None:
        check_model(Path(options.init))
    monitor_of(options.length.monitor, list(options.tasks))
    if options.tracking.tensorboard and find_spec("tensorboard") is None:
        hint = "pip install 'labelgen[tensorboard]', or leave it out"
        raise UsageError("TensorBoard is not installed", "tracking.tensorboard", hint)
    data = options.data
    # Every session reads the logs again, so it writes the quarantine again.
    with closing(run_quarantine(folder)) as bad, ExitStack() as stack:

        def read(logs: Sequence[str], prepare: Prepare) -> Corpus:
            return stack.enter_context(
                closing(Corpus(logs, data.format, data.max_bad_rate, prepare, command, bad, data.option))
            )

        corpus = read(data.train, prepare)
        _check_data(corpus, "data.train", earlier, folder)
        targets = target_counts(corpus)
        if command == FINETUNE:
            _check_targets(options.tasks, targets)
        validation = None
        if data.valid:
            held_out = read(data.valid, prepare_held_out)
            _check_data(held_out, "data.valid", None, folder)
            validation = examples(held_out, training=False)
        elif options.length.keep == "best":
            rank_zero_only(print_lines)(f"{command}: {_NO_BEST}", file=sys.stderr)
        text = _train(options, command, examples(corpus, training=True), validation, targets, callbacks, loggers)
        return f"{text}\n{quarantine_text(bad.reasons, f'in {bad}')}" if text and bad.reasons else text


def run_quarantine(folder: Path) -> Quarantine:
    """The quarantine of the run; only the first process writes it, since all processes read the same logs."""
    if not _is_first():
        return Quarantine(Path(os.devnull))
    (folder / QUARANTINE).unlink(missing_ok=True)
    return Quarantine(folder / QUARANTINE)


def _train(
    options: TrainingOptions,
    command: str,
    training: Examples,
    validation: Examples | None,
    targets: Mapping[str, int],
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
) -> str:
    folder, corpus = Path(options.out), training.corpus
    init = None if options.init is None else Path(options.init)
    torch.manual_seed(options.seed)
    from_feedback = isinstance(options, FinetuneOptions) and options.targets.feedback
    tasks = options.tasks
    if from_feedback:
        # The network would read the reactions that these targets were made from, so it learns verdicts from annotations alone.
        verdicts = {
            n for n, o in tasks.items() if o.ngrams and getattr(resolve(TASKS, n, "task"), "has_witnesses", False)
        }
        annotated = verdicts & {t.task for dialogue in corpus for t in dialogue.targets if is_annotated(t)}
        tasks = {n: replace(o, linear_share=1.0) if n in verdicts - annotated else o for n, o in tasks.items()}
        for examples in (training, validation):
            if isinstance(examples, AnnotatedExamples):
                examples.annotated_only = frozenset(annotated)
    model = build_model(options.model, tasks, corpus.labels, corpus, from_feedback, corpus.root)
    new = take_over(model, load_model(init)) if init is not None else None
    if options.lora.rank:
        add_adapters(model.turn_encoder, options.lora)
    # In this order: a folder with a state is a run, even if a kill follows at once.
    _write_state(folder, RunState(corpus.digest))
    write_text(folder / CONFIG, to_yaml(options))
    with _tracked(
        options, folder, _inputs(corpus, targets, None if validation is None else validation.corpus, init)
    ) as wandb:
        try:
            result = (
                fit(options, model, training, validation, folder, wandb, callbacks, loggers)
                if model.heads
                else FitResult(model, 0, 0, 0.0, _is_first())
            )
        except DivergedError as error:
            raise DivergedError(f"training diverged: {error.what}", str(folder), _DIVERGED) from error
        merge_adapters(result.model.turn_encoder)
        if not result.first:
            return ""
        sweep(folder)
        taught = init is not None and read_card(init).get("command") == FINETUNE
        device = "cuda" if options.hardware.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
        shares = ShareFit() if validation is None else fit_shares(result.model, validation, device)
        weak = {} if taught or command != FINETUNE else _untaught(result.model, corpus)
        for name, by_unit in shares.weak.items():
            weak[name] = {**by_unit, **weak.get(name, {})}
        trained_on, complete = joined_trained_on(corpus.fingerprints if command == FINETUNE else (), init)
        card = {
            **_card(options, command, corpus, targets, result, new),
            COMPLETE: complete,
            WEAK: weak,
            ADDED: shares.added,
        }
        save_model(result.model, folder / MODEL, card, trained_on)
        if wandb is not None:
            wandb.make(model_artifact(folder / MODEL, wandb.address))
        _write_state(folder, RunState(corpus.digest, result.step, result.steps, result.elapsed_s, done=True))
        return "\n".join([*weak_lines(weak), *shares.added, _summary(options, corpus, targets, result, new)])


def _untaught(model: LabelModel, corpus: Corpus) -> dict[str, dict[Unit, str]]:
    """Units of its tasks about which no target of the log says anything."""
    taught = {(t.task, UNIT_OF[type(t.at)]) for dialogue in corpus for t in dialogue.targets}
    found: dict[str, dict[Unit, str]] = {}
    for name, task in model.tasks.items():
        for unit in task.units if isinstance(task, ExclusiveTask) else ():
            if (name, unit) not in taught:
                found.setdefault(name, {})[unit] = "no target taught it"
            elif name not in model.heads and unit not in model.linear_settings().get(name, {}):
                found.setdefault(name, {})[unit] = "its targets all say the same"
    return found


@contextmanager
def _tracked(options: TrainingOptions, folder: Path, inputs: Sequence[LineageArtifact]) -> Iterator[WandbRun | None]:
    """The run in Weights & Biases, in the first process alone. It counts as failed if the block raises."""
    run = run_of_training(folder, options.tracking.wandb) if _is_first() else None
    if run is None:
        yield None
        return
    run.start(plain(options))
    for one in inputs:
        run.use(one)
    failed = True
    try:
        yield run
        failed = False
    finally:
        run.end(failed)


def _is_first() -> bool:
    """Whether this process is the first of those that Lightning, torchrun or SLURM started."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _inputs(
    corpus: Corpus, targets: Mapping[str, int], held_out: Corpus | None, init: Path | None
) -> list[LineageArtifact]:
    """Input data and the initial model, for the lineage of the run."""
    inputs = [data_artifact("training", corpus.digest, {**_counts(corpus), "targets": targets})]
    if held_out is not None:
        inputs.append(data_artifact("validation", held_out.digest, _counts(held_out)))
    if init is not None:
        inputs.append(model_artifact(init, read_address(init.parent)))
    return inputs


def _counts(corpus: Corpus) -> dict[str, int]:
    return {"dialogues": len(corpus), "turns": int(corpus.turns.sum())}


def open_run(folder: Path, options: TrainingOptions) -> RunState | None:
    """State of an earlier session in the folder. None if the folder is new, or no training step was saved: then the options may
    change.

    Raises UsageError if the folder contains other files, or a run with other options, naming the differences;
    IntegrityError if its files are damaged."""
    if not folder.exists() or (folder.is_dir() and all(map(_is_leftover, folder.iterdir()))):
        return None
    if not (folder / STATE).is_file():
        raise UsageError(f"{folder} is not empty and is not a training run", str(folder), "name another folder")
    state = read_json(folder / STATE, RunState, _HINT)
    # Users may remove the checkpoints of a finished run.
    if not state.done and CheckpointFolder(folder / CHECKPOINTS).index() is None:
        return None
    with integrity_errors(f"{CONFIG} of the run cannot be read", folder / CONFIG, _HINT):
        saved = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(saved, dict):
            raise ValueError("it has no options")
        if missing := sorted(plain(options).keys() - saved.keys()):
            raise ValueError(f"it lacks {', '.join(missing)}")
        changes = differences(saved, options)
    if changes:
        raise UsageError(
            f"{folder} has a run with other options: {'; '.join(changes)}",
            str(folder / CONFIG),
            "name another folder, or give the options of that run to resume it",
        )
    return state


def _is_leftover(path: Path) -> bool:
    """Whether it is from a command that failed before training (a quarantine, an incomplete state), or the logs of this one."""
    if path.name == DATA and path.is_dir():
        return all(one.suffix in (".jsonl", ".json") for one in path.iterdir())
    if path.name == PRETRAINED:
        return (path / STATE).is_file()
    return path.name == QUARANTINE or path.match(f".{STATE}.*.part")


def _write_state(folder: Path, state: RunState) -> None:
    write_text(folder / STATE, msgspec.json.encode(state).decode() + "\n")


def _check_data(corpus: Corpus, key: str, earlier: RunState | None, folder: Path) -> None:
    if not len(corpus):
        raise InputError(
            f"none of {corpus.read:,} dialogues has any targets to learn from",
            key,
            "check targets.annotators, targets.feedback and tasks; `labelgen data validate` shows the content of a log",
        )
    if earlier is not None and earlier.data_digest != corpus.digest:
        raise UsageError(
            "the training data changed since this run began", str(folder), "name another folder to start a new training"
        )


def _check_targets(tasks: Collection[str], targets: Mapping[str, int]) -> None:
    """Labels that people do not annotate are in no log, or in a log made for them."""
    for task in tasks:
        if task not in GROUPED and not targets.get(task):
            raise UsageError(
                f"the training logs have no targets of {task!r}",
                f"tasks.{task}",
                "leave the task out, or learn it with labelgen pretrain",
            )


def _card(
    options: TrainingOptions,
    command: str,
    corpus: Corpus,
    targets: Mapping[str, int],
    result: FitResult,
    new: list[str] | None,
) -> Mapping[str, Any]:
    """Model card. targets: number of each task. new: names of weights that `init` does not have; None without `init`."""
    return {
        "command": command,
        "config": plain(options),
        "learned_from_feedback": _learned_from_feedback(options),
        "data_digest": corpus.digest,
        **_counts(corpus),
        "targets": targets,
        "step": result.step,
        "steps": result.steps,
        "not_taken_over": new,
        "versions": {
            "labelgen": __version__,
            "torch": str(torch.__version__),
            "lightning": version("pytorch-lightning"),
        },
    }


def _learned_from_feedback(options: TrainingOptions) -> bool:
    """Whether this model, or the one that it started from, learned from feedback."""
    if isinstance(options, FinetuneOptions) and options.targets.feedback:
        return True
    return options.init is not None and bool(read_card(Path(options.init)).get("learned_from_feedback", True))


def _summary(
    options: TrainingOptions, corpus: Corpus, targets: Mapping[str, int], result: FitResult, new: list[str] | None
) -> str:
    """Lines for the terminal, with warnings: tasks without targets, and weights that are not the best."""
    target_text = ", ".join(f"{number:,} of {task}" for task, number in targets.items())
    steps = f"trained {result.step:,} of {result.steps:,} steps in {result.elapsed_s / 60:,.1f} min"
    lines = [
        steps if result.steps else NO_HEADS,
        f"on {len(corpus):,} of {corpus.read:,} dialogues, {int(corpus.turns.sum()):,} turns"
        + (f"; targets: {target_text}" if targets else ""),
        f"encoder: {options.model.encoder} ({origin_summary(result.model.origin)})",
    ]
    untrained = [task for task in options.tasks if targets and task not in targets]
    if untrained:
        lines.append(f"NO targets of {', '.join(untrained)}: the model learned nothing about them here")
    if options.length.keep == "best" and not options.data.valid:
        lines.append(_NO_BEST)
    if result.sound:
        lines.append(result.sound)
    if new is not None:
        parts = Counter(".".join(name.split(".")[:2]) for name in new)
        names = ", ".join(f"{part} ({number})" for part, number in parts.items())
        lines.append(f"from {options.init}; weights that are new: {names or 'none'}")
    return "\n".join([*lines, f"model: {Path(options.out) / MODEL}"])
