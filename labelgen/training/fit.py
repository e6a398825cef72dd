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
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.strategies import FSDPStrategy, Strategy
from torch import distributed, nn

from labelgen.base.errors import DivergedError, UsageError
from labelgen.data.sound import told
from labelgen.model.label_model import LabelModel
from labelgen.nn.embedding_cache import EmbeddingCache
from labelgen.training.checkpoint import CheckpointFolder, CheckpointWriter, weights_of
from labelgen.training.data import Examples
from labelgen.training.hardware import LIGHTNING_PRECISION, precision_of
from labelgen.training.loader import StepBatch, TrainingLoader, ValidationLoader
from labelgen.training.module import TrainingModule
from labelgen.training.options import BatchOptions, HardwareOptions, LengthOptions, TrainingOptions
from labelgen.training.patience import Patience, lost
from labelgen.training.progress_line import ProgressLine
from labelgen.training.recorder import Recorder
from labelgen.training.sampler import Sampler, total_steps
from labelgen.training.saving import Checkpoints
from labelgen.training.together import Together
from labelgen.training.tracking import Tracker

CHECKPOINTS = "checkpoints"
TIME, PATIENCE, DIVERGED = "length.max_minutes", "length.patience", "diverged"
"""Why a run ended before its last step; one that its time ended may go on."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """step: of `steps` that were to be done. ended: why. first: the process that writes what comes after. sound: what became of the
    turns' sound in this sitting and process, for people; empty where none was sought. diverged: why nothing more can be learned; the model
    is then that of the last checkpoint which is known to be safe, and step is 0 where there is none."""

    model: LabelModel
    step: int
    steps: int
    elapsed_s: float
    ended: str
    first: bool
    sound: str = ""
    diverged: DivergedError | None = None


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

    Raises UsageError where the hardware cannot be had; IntegrityError for a checkpoint that cannot be read; StorageError where none can
    be written; Terminated where SIGTERM came. In a process that is not the first SystemExit stands for these: one tells of them."""
    sampler = make_sampler(training, options.batch, options.hardware, options.data.mix, options.seed)
    steps = total_steps(sampler, options.length.max_epochs, options.length.max_steps)
    recorder = Recorder(trackers, options.tracking.log_every, steps)
    keep_best = options.length.keep == "best"
    saved, writer = CheckpointFolder(folder / CHECKPOINTS), CheckpointWriter()
    # Callbacks run in this order: the limit is known before a checkpoint is written, and what it records before that.
    trainer = make_trainer(
        options,
        model,
        [
            recorder,
            ProgressLine(steps, recorder),
            Limit(steps, options.length.max_minutes, recorder),
            Patience(options.length.patience, recorder),
            Checkpoints(saved, writer, options.tracking.checkpoint_every, recorder, keep_best),
        ],
        [writer],
    )
    # A strategy may cut the model's weights up; the trained ones are put into a copy that is whole.
    trained = copy.deepcopy(model)
    index = saved.index()
    sound = ""
    if index is None or _over(saved.read(index.last), steps, options.length) is None:
        # Pretrained encoders come in evaluation mode, and Lightning leaves modes as they are.
        model.train()
        model.turn_encoder.chunk_tokens = options.batch.encoder_tokens
        known = model.turn_encoder.embedding_cache or EmbeddingCache()
        model.turn_encoder.embedding_cache = known if options.model.encoder_frozen else None
        module = TrainingModule(model, options.optimizer, steps, options.seed, options.batch.online_share)
        collator, workers = model.collator(), options.data.workers
        train = TrainingLoader(
            training, collator, sampler, lambda: trainer.global_step, lambda: trainer.global_rank, steps, workers
        )
        valid = None
        if validation is not None:
            order = make_sampler(validation, options.batch, options.hardware, (), 0)
            valid = ValidationLoader(validation, collator, order, lambda: trainer.global_rank, workers)
        with _quiet():
            last = None if index is None else saved.path / index.last.file
            try:
                trainer.fit(module, train, valid, ckpt_path=last, weights_only=True)
            except SystemExit as stop:
                # Lightning leaves by SystemExit when it is interrupted; the command line knows better what to say.
                raise KeyboardInterrupt from stop
            except Together as stop:
                _end_processes()
                if not trainer.is_global_zero:
                    # Who ends with another code has the others killed, the one that tells why among them.
                    raise SystemExit(0) from stop
                if not isinstance(stop.why, DivergedError):
                    raise stop.why from None
                return _diverged(saved, trained, steps, stop.why)
        _end_processes()
        sound = told(train.heard, train.unheard)
        index = saved.index()
    assert index is not None
    held = saved.read(index.last)
    best = saved.read(index.best) if keep_best and index.best is not None else held
    trained.load_state_dict(weights_of(best))
    ended = _over(held, steps, options.length) or TIME
    return Fitted(trained, held["global_step"], steps, _elapsed_s(held), ended, trainer.is_global_zero, sound)


def _end_processes() -> None:
    """Ends the threads of the process group: one that is left at the interpreter's end may abort the process (exit code -6)."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _diverged(saved: CheckpointFolder, model: LabelModel, steps: int, why: DivergedError) -> Fitted:
    index = saved.index()
    if index is None or index.safe is None:
        return Fitted(model, 0, steps, 0.0, DIVERGED, True, diverged=why)
    held = saved.read(index.safe)
    model.load_state_dict(weights_of(held))
    return Fitted(model, held["global_step"], steps, _elapsed_s(held), DIVERGED, True, diverged=why)


def _elapsed_s(checkpoint: dict[str, Any]) -> float:
    return float(checkpoint["callbacks"]["Recorder"]["elapsed_s"])


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


def make_trainer(
    options: TrainingOptions,
    model: nn.Module,
    callbacks: list[pl.Callback],
    plugins: Sequence[CheckpointIO] = (),
) -> pl.Trainer:
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
            precision=LIGHTNING_PRECISION[precision_of(hardware, options.model)],
            max_epochs=-1,
            accumulate_grad_batches=options.batch.accumulate,
            callbacks=callbacks,
            plugins=list(plugins),
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
