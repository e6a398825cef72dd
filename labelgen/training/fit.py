"""Training loop: fits a model to examples with a Lightning Trainer, and resumes from the last checkpoint."""

import copy
import logging
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.plugins import MixedPrecision, Precision
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities import rank_zero_only
from torch import distributed

from labelgen.base.errors import UsageError
from labelgen.base.process import first_process
from labelgen.base.terminal import print_lines
from labelgen.data.stats import audio_summary
from labelgen.model.label_model import LabelModel
from labelgen.model.options import MIXED
from labelgen.nn.turn_encoder import EmbeddingCache
from labelgen.training.checkpoints import (
    CheckpointFolder,
    Checkpoints,
    CheckpointWriter,
    weights_of,
)
from labelgen.training.corpus import Examples
from labelgen.training.loader import StepBatch, TrainingLoader, ValidationLoader
from labelgen.training.module import StopAllProcesses, TrainingModule
from labelgen.training.options import BatchOptions, HardwareOptions, TrainingOptions
from labelgen.training.sampler import LEAST_STEPS, Sampler, step_turns, total_steps
from labelgen.training.tracking import Recorder
from labelgen.training.validation import Validation, monitor_of
from labelgen.training.wandb_run import WandbRun

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
METRIC_DIALOGUES = 2000
"""Number of validation dialogues, rounded up to whole batches, on which metrics of tasks are measured after each epoch."""
_FEW = f"{{:,}} optimizer steps are few: with less than {LEAST_STEPS} a model learns little; give length.steps {LEAST_STEPS} or more"


@dataclass(frozen=True, slots=True)
class FitResult:
    """Trained model. step: reached, of `steps` planned ones. ended: reason for the end. first: whether this is the process that writes
    results. sound: summary of the audio that this session and process read; empty without audio. diverged: error of a
    divergence; the model is then that of the last safe checkpoint, and step is 0 without one."""

    model: LabelModel
    step: int
    steps: int
    elapsed_s: float
    first: bool
    sound: str = ""


class LastStep(pl.Callback):
    """Ends the run at its last step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.steps


def fit(
    options: TrainingOptions,
    model: LabelModel,
    training: Examples,
    validation: Examples | None,
    folder: Path,
    wandb: WandbRun | None = None,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> FitResult:
    """Train, from the last checkpoint of the folder if there is one. Uses and extends the embedding cache of a frozen encoder.

    wandb: run that gets the metrics. callbacks, loggers: further ones of Lightning.

    Raises UsageError if the hardware is not available; IntegrityError if a checkpoint cannot be read; StorageError if none can be
    written; Terminated on SIGTERM. In processes other than the first these are SystemExit, so that one process reports them."""
    fitted = fitted_options(options, int(training.corpus.turns.sum()))
    sampler = make_sampler(training, fitted.batch, options.hardware, options.data.mix, options.seed)
    steps = total_steps(sampler, options.length.steps, options.length.max_epochs)
    compared = None if validation is None else Validation(validation, list(options.tasks))
    recorder = Recorder(folder / METRICS, options.tracking.log_every, steps, training.corpus.name, compared)
    keep_best = options.length.keep == "best"
    monitor = monitor_of(options.length.monitor, list(options.tasks))
    checkpoints, writer = CheckpointFolder(folder / CHECKPOINTS), CheckpointWriter()
    index = checkpoints.index()
    last_state = None if index is None else checkpoints.read(index.last)
    step = 0 if last_state is None else int(last_state["global_step"])
    # Callbacks run in this order: task metrics are computed and recorded and the limit is known before a checkpoint is written.
    trainer = make_trainer(
        options,
        folder,
        [
            *([] if compared is None else [compared]),
            recorder,
            *callbacks,
            LastStep(steps),
            Checkpoints(
                checkpoints, writer, options.tracking.checkpoint_every, recorder, monitor if keep_best else None
            ),
        ],
        [writer],
        [*([] if wandb is None else wandb.logger()), *_tensorboard(options, folder, step), *loggers],
    )
    # Lightning moves the model and its caches to a device, so the trained weights go into a copy.
    trained = copy.deepcopy(model)
    sound = ""
    if step < steps:
        module = _module(fitted, model, steps)
        cuda, workers, process = (
            trainer.strategy.root_device.type == "cuda",
            options.data.workers,
            lambda: trainer.global_rank,
        )
        collator = model.collator()
        train = TrainingLoader(training, collator, sampler, lambda: trainer.global_step, process, steps, workers, cuda)
        valid = None
        if validation is not None and compared is not None:
            order = make_sampler(validation, options.batch, options.hardware, (), 0)
            valid = ValidationLoader(
                validation, collator, order, process, workers, cuda, METRIC_DIALOGUES, compared.goals
            )
            if keep_best:
                compared.check(monitor, valid.compared_indices())
        last = None if index is None else checkpoints.path / index.last.file
        _run(trainer, module, train, valid, last, cuda)
        _end_processes()
        sound = audio_summary(train.audio_turns, train.audio_errors)
        index = checkpoints.index()
        last_state = None if index is None else checkpoints.read(index.last)
    assert index is not None
    assert last_state is not None
    best = checkpoints.read(index.best) if keep_best and index.best is not None else last_state
    trained.load_state_dict(weights_of(best))
    return FitResult(trained, last_state["global_step"], steps, _elapsed_s(last_state), trainer.is_global_zero, sound)


def fitted_options(options: TrainingOptions, turns: int) -> TrainingOptions:
    """The options with the sizes of batches and the learning rates of a step (step_turns) for logs of so many turns."""
    batch, hardware, rates = options.batch, options.hardware, options.optimizer
    batches = hardware.devices * hardware.nodes * batch.accumulate
    step = step_turns(batch.turns, batches, turns)
    share, growth = step / (batches * batch.turns), math.sqrt(step / batch.turns)
    new, encoder = growth * rates.learning_rate, growth * rates.encoder_learning_rate
    return replace(
        options,
        batch=replace(batch, turns=math.ceil(batch.turns * share), words=math.ceil(batch.words * share)),
        optimizer=replace(rates, learning_rate=new, encoder_learning_rate=encoder),
    )


def _module(options: TrainingOptions, model: LabelModel, steps: int) -> TrainingModule:
    """The module of Lightning, its model set up for training. Warns of few steps."""
    if steps < LEAST_STEPS:
        rank_zero_only(print_lines)(_FEW.format(steps), file=sys.stderr)
    # Pretrained encoders are loaded in evaluation mode, and Lightning keeps modes.
    model.train()
    known = model.turn_encoder.embedding_cache or EmbeddingCache()
    model.turn_encoder.embedding_cache = known if options.model.encoder_frozen else None
    # Where gradients are scaled, a fused optimizer would be given them before they are clipped.
    fused = options.hardware.precision != "16"
    return TrainingModule(model, options.optimizer, steps, options.seed, options.batch.online_share, fused)


def _run(
    trainer: pl.Trainer,
    module: TrainingModule,
    train: TrainingLoader,
    valid: ValidationLoader | None,
    last: Path | None,
    cuda: bool,
) -> None:
    """Train from the last checkpoint. In processes other than the first an error ends them."""
    with _quiet(), tf32_products(cuda), first_process():
        try:
            trainer.fit(module, train, valid, ckpt_path=last, weights_only=True)
        except SystemExit as stop:
            # Lightning raises SystemExit on an interrupt; the command line has a better message.
            raise KeyboardInterrupt from stop
        except StopAllProcesses as stop:
            _end_processes()
            if not trainer.is_global_zero:
                # Another exit code would kill the other processes, including the one that reports the reason.
                raise SystemExit(0) from stop
            raise stop.reason from None
        finally:
            for loader in (train, valid):
                if loader is not None:
                    loader.batches.close()


def _tensorboard(options: TrainingOptions, folder: Path, step: int) -> list[Logger]:
    """Readers leave out what an interrupted session wrote after the step."""
    if not options.tracking.tensorboard:
        return []
    return [TensorBoardLogger(str(folder), name=TENSORBOARD, version="", purge_step=step + 1)]


def _end_processes() -> None:
    """Destroy the process group: its threads may abort the process at the interpreter's end (exit code -6)."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _elapsed_s(checkpoint: dict[str, Any]) -> float:
    return float(checkpoint["callbacks"]["Recorder"]["elapsed_s"])


def make_sampler(
    examples: Examples, batch: BatchOptions, hardware: HardwareOptions, mix: tuple[float, ...], seed: int
) -> Sampler:
    """Sampler of the options. mix: number of passes over each log in an epoch; empty for one each."""
    corpus = examples.corpus
    return Sampler(
        turns=corpus.turns,
        words=corpus.words,
        log=corpus.log,
        mix=mix or (1.0,) * corpus.logs,
        batch_turns=batch.turns,
        batch_words=batch.words,
        accumulate=batch.accumulate,
        processes=hardware.devices * hardware.nodes,
        seed=seed,
    )


def make_trainer(
    options: TrainingOptions,
    folder: Path,
    callbacks: list[pl.Callback],
    plugins: Sequence[CheckpointIO] = (),
    loggers: Sequence[Logger] = (),
) -> pl.Trainer:
    """Lightning Trainer without its own checkpoints and progress bar. folder: for what Lightning writes.

    Raises UsageError if the hardware is not available."""
    hardware = options.hardware
    # Lightning would advertise other products.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_nodes=hardware.nodes,
            strategy="ddp" if hardware.devices * hardware.nodes > 1 else "auto",
            default_root_dir=folder,
            max_epochs=-1,
            accumulate_grad_batches=options.batch.accumulate,
            callbacks=callbacks,
            plugins=[*plugins, _precision(hardware)],
            logger=[*loggers] or False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise UsageError(str(error), "hardware", "choose another accelerator or number of devices") from error


def _precision(hardware: HardwareOptions) -> Precision:
    """Arithmetic of the forward pass. Lightning would replace fp16 on a CPU by bf16."""
    name = MIXED.get(hardware.precision)
    cuda = hardware.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return Precision() if name is None else MixedPrecision(name, "cuda" if cuda else "cpu")


@contextmanager
def tf32_products(cuda: bool) -> Iterator[None]:
    """Matrix products of 32 bits in TensorFloat-32 within the block, on CUDA only. Labels are computed outside of it."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = cuda or before
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings that do not apply: the encoder may be frozen, validation is optional, and in fp16 the first step may overflow, which
    leaves it out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")
        warnings.filterwarnings("ignore", message=".*`lr_scheduler.step\\(\\)` before `optimizer.step.*")
        warnings.filterwarnings("ignore", message=".*treespec.*deprecated.*")
        yield
