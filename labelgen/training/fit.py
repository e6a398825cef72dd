"""From a model and its examples to a trained model, by a Lightning Trainer that goes on where the run stands."""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.strategies import FSDPStrategy, Strategy
from torch import nn

from labelgen.base.errors import UsageError
from labelgen.data.sound import told
from labelgen.model.label_model import LabelModel
from labelgen.nn.frozen_memory import FrozenMemory
from labelgen.training.checkpoint import BEST, LAST, Checkpoints, read_checkpoint, weights_of
from labelgen.training.data import Examples
from labelgen.training.hardware import precision_of
from labelgen.training.loader import StepBatch, TrainingLoader, ValidationLoader
from labelgen.training.module import TrainingModule
from labelgen.training.options import BatchOptions, HardwareOptions, LengthOptions, TrainingOptions
from labelgen.training.patience import Patience, lost
from labelgen.training.progress_line import ProgressLine
from labelgen.training.recorder import Recorder
from labelgen.training.sampler import Sampler, total_steps
from labelgen.training.tracking import Tracker

CHECKPOINTS = "checkpoints"
TIME, PATIENCE = "length.max_minutes", "length.patience"
"""Why a run ended before its last step; one that its time ended may go on."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """step: of `steps` that were to be done. ended: why. first: the process that writes what comes after. sound: what became of the
    turns' sound in this sitting and process, for people; empty where none was sought."""

    model: LabelModel
    step: int
    steps: int
    elapsed_s: float
    ended: str
    first: bool
    sound: str = ""


class Limit(pl.Callback):
    """Ends the run at its last step, or when its time is over."""

    def __init__(self, steps: int, max_minutes: float | None, recorder: Recorder) -> None:
        self.steps = steps
        self.max_minutes = max_minutes
        self.recorder = recorder

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        if not batch.part.last:
            return
        late = self.max_minutes is not None and self.recorder.elapsed_s >= 60 * self.max_minutes
        if self.max_minutes is not None:
            # Clocks differ: all processes stop together, or none.
            late = trainer.strategy.reduce_boolean_decision(late, all=False)
        trainer.should_stop = trainer.should_stop or late or trainer.global_step >= self.steps


def fit(
    options: TrainingOptions,
    model: LabelModel,
    training: Examples,
    validation: Examples | None,
    folder: Path,
    trackers: Sequence[Tracker],
) -> Fitted:
    """Train, from the last checkpoint in the folder if there is one. What the model's frozen encoder remembers is used and
    added to.

    Raises UsageError where the hardware cannot be had; IntegrityError for a checkpoint that cannot be read."""
    sampler = make_sampler(training, options.batch, options.hardware, options.data.mix, options.seed)
    steps = total_steps(sampler, options.length.max_epochs, options.length.max_steps)
    recorder = Recorder(trackers, options.tracking.log_every, steps)
    keep_best = options.length.keep == "best"
    saved = folder / CHECKPOINTS
    # Callbacks run in this order: the limit is known before a checkpoint is written, and what it records before that.
    trainer = make_trainer(
        options,
        model,
        [
            recorder,
            ProgressLine(steps, recorder),
            Limit(steps, options.length.max_minutes, recorder),
            Patience(options.length.patience, recorder),
            Checkpoints(saved, options.tracking.checkpoint_every, recorder, keep_best),
        ],
    )
    # A strategy may cut the model's weights up; the trained ones are put into a copy that is whole.
    trained = copy.deepcopy(model)
    last = saved / LAST
    sound = ""
    if not last.exists() or _over(read_checkpoint(last), steps, options.length) is None:
        # Pretrained encoders come in evaluation mode, and Lightning leaves modes as they are.
        model.train()
        model.turn_encoder.piece_tokens = options.batch.encoder_tokens
        known = model.turn_encoder.remembered or FrozenMemory()
        model.turn_encoder.remembered = known if options.model.encoder_frozen else None
        module = TrainingModule(model, options.optimiser, steps, options.seed, options.batch.online_share)
        collator, workers = model.collator(), options.data.workers
        train = TrainingLoader(
            training, collator, sampler, lambda: trainer.global_step, lambda: trainer.global_rank, steps, workers
        )
        valid = None
        if validation is not None:
            order = make_sampler(validation, options.batch, options.hardware, (), 0)
            valid = ValidationLoader(validation, collator, order, lambda: trainer.global_rank, workers)
        with _quiet():
            try:
                trainer.fit(module, train, valid, ckpt_path=last if last.exists() else None, weights_only=True)
            except SystemExit as stop:
                # Lightning leaves by SystemExit when it is interrupted; the command line knows better what to say.
                raise KeyboardInterrupt from stop
        sound = told(train.heard, train.unheard)
    held = read_checkpoint(last)
    best = saved / BEST
    trained.load_state_dict(weights_of(read_checkpoint(best) if keep_best and best.exists() else held))
    return Fitted(
        trained,
        held["global_step"],
        steps,
        held["callbacks"]["Recorder"]["elapsed_s"],
        _over(held, steps, options.length) or TIME,
        trainer.is_global_zero,
        sound,
    )


def _over(checkpoint: dict[str, Any], steps: int, length: LengthOptions) -> str | None:
    """Why nothing is left to be done after a checkpoint; None where something is."""
    if checkpoint["global_step"] >= steps:
        return "all steps"
    return PATIENCE if lost(checkpoint["callbacks"].get("Patience", {"waited": 0}), length.patience) else None


def make_sampler(
    examples: Examples, batch: BatchOptions, hardware: HardwareOptions, mix: tuple[float, ...], seed: int
) -> Sampler:
    """mix: one share for each log of the corpus, or none."""
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


def make_trainer(options: TrainingOptions, model: nn.Module, callbacks: list[pl.Callback]) -> pl.Trainer:
    """A Trainer whose every default that matters is set. Raises UsageError where the hardware cannot be had."""
    hardware = options.hardware
    # It would advertise other products.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_nodes=hardware.nodes,
            strategy=_strategy(hardware, model),
            precision=precision_of(hardware, options.model),
            max_epochs=-1,
            accumulate_grad_batches=options.batch.accumulate,
            callbacks=callbacks,
            logger=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise UsageError(str(error), "hardware", "choose another accelerator, strategy or number of devices") from error


def _strategy(hardware: HardwareOptions, model: nn.Module) -> str | Strategy:
    if hardware.strategy == "fsdp":
        # Each layer of a stack is gathered on its own, so that no device ever holds the whole model.
        layers = {type(layer) for stack in model.modules() if isinstance(stack, nn.ModuleList) for layer in stack}
        return FSDPStrategy(auto_wrap_policy=layers)
    if hardware.strategy in ("auto", "ddp") and hardware.devices * hardware.nodes > 1:
        # A batch without targets of a task leaves that task's head unused.
        return "ddp_find_unused_parameters_true"
    return hardware.strategy


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice that does not fit: the encoder may be frozen, and validation left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")
        warnings.filterwarnings("ignore", message=".*treespec.*deprecated.*")
        yield
