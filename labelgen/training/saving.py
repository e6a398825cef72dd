"""When a run saves what it has: every so many steps, at the end of epochs, and when it is asked to end."""

import signal
import threading
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl

from labelgen.base.errors import LabelgenError
from labelgen.base.process import Terminated
from labelgen.training.checkpoint import CheckpointFolder, CheckpointWriter, Index, Saved
from labelgen.training.loader import StepBatch
from labelgen.training.recorder import Recorder
from labelgen.training.together import Together, stop_together


class Checkpoints(pl.Callback):
    """Saves every so many steps, at the end of an epoch where a tenth as many went by since, where the validation loss is the least so
    far, at the run's end, and when SIGTERM comes: then at the end of that step, or of the epoch if it is its last.

    writer: the trainer's own, which writes the files that are committed here."""

    def __init__(
        self, folder: CheckpointFolder, writer: CheckpointWriter, every: int, recorder: Recorder, keep_best: bool
    ) -> None:
        self.folder = folder
        self.writer = writer
        self.every = every
        self.recorder = recorder
        self.keep_best = keep_best
        self.best: float | None = None
        self.written = 0
        self._untried = False
        self._asked_to_end = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        index = self.folder.index()
        self._untried = index is not None and index.safe != index.last
        self.written = trainer.global_step
        # Lightning's own handler talks to other processes whenever the signal comes, in the midst of what they do.
        # It is put in this one's place when Lightning tears down.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask_to_end)
        if trainer.is_global_zero:
            self.folder.sweep(index)

    def _ask_to_end(self, *_: Any) -> None:
        self._asked_to_end = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        if not batch.part.last:
            return
        if self._untried and trainer.global_step > self.written:
            # The recorder has seen that the loss is finite.
            self._untried = False
            self._commit(trainer, None, best=False, safe=True)
        # The last step of an epoch is saved at its end, when it has been validated too.
        if trainer.should_stop or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        end = self._is_to_end(trainer)
        if end or trainer.global_step % self.every == 0:
            self._save(trainer)
        if end:
            self._end(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = self.recorder.validation_loss
        better = self.keep_best and loss is not None and (self.best is None or loss < self.best)
        if better:
            self.best = loss
        end = self._is_to_end(trainer)
        # Epochs of a few steps would else be mostly writing.
        if better or end or trainer.should_stop or 10 * (trainer.global_step - self.written) >= self.every:
            self._save(trainer, better, loss is not None)
        if end:
            self._end(trainer)

    def _is_to_end(self, trainer: pl.Trainer) -> bool:
        """The same in all processes, whichever of them the signal reached."""
        return trainer.strategy.reduce_boolean_decision(self._asked_to_end, all=False)

    def _end(self, trainer: pl.Trainer) -> None:
        raise Together(
            Terminated(f"a checkpoint is saved after step {trainer.global_step:,}, and the same command resumes there")
        )

    def _save(self, trainer: pl.Trainer, best: bool = False, validated: bool = False) -> None:
        self.written = trainer.global_step
        self._untried = not validated
        trainer.save_checkpoint(self.folder.new(trainer.global_step), weights_only=False)
        self._commit(trainer, self.writer.outcome, best, validated)

    def _commit(self, trainer: pl.Trainer, last: Saved | LabelgenError | None, best: bool, safe: bool) -> None:
        """last: None where it stays. All processes leave here after it is done, or with the reason why it is not."""
        why = None
        if trainer.is_global_zero:
            try:
                self.folder.commit(_after(self.folder.index(), last, best, safe))
            except LabelgenError as error:
                why = error
        stop_together(trainer, why)


def _after(index: Index | None, last: Saved | LabelgenError | None, best: bool, safe: bool) -> Index:
    """The index with a new last checkpoint, which may also be the best one, or one that is known to be safe."""
    if isinstance(last, LabelgenError):
        raise last
    if index is None:
        assert last is not None
        index = Index(last, None, None)
    now = replace(index, last=last or index.last)
    return replace(now, best=now.last if best else now.best, safe=now.last if safe else now.safe)
