"""Checkpoints: written whole or not at all, and read without running anything that stands in them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from labelgen.base.errors import IntegrityError
from labelgen.training.loader import StepBatch
from labelgen.training.recorder import Recorder

LAST = "last.ckpt"
BEST = "best.ckpt"


class Checkpoints(pl.Callback):
    """Writes last.ckpt every so many steps, at the end of an epoch where a tenth as many went by since, and at the run's end; and
    both it and best.ckpt where the validation loss is the least so far."""

    def __init__(self, folder: Path, every: int, recorder: Recorder, keep_best: bool) -> None:
        self.folder = folder
        self.every = every
        self.recorder = recorder
        self.keep_best = keep_best
        self.best: float | None = None
        self.written = 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        # The last step of an epoch is saved at its end, when it has been validated too.
        at_end = trainer.should_stop or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if batch.part.last and trainer.global_step % self.every == 0 and not at_end:
            self._write(trainer, LAST)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = self.recorder.validation_loss
        better = self.keep_best and loss is not None and (self.best is None or loss < self.best)
        if better:
            self.best = loss
        # Epochs of a few steps would else be mostly writing.
        if better or trainer.should_stop or 10 * (trainer.global_step - self.written) >= self.every:
            self._write(trainer, LAST)
        if better and trainer.is_global_zero:
            _replace(self.folder / LAST, self.folder / BEST)

    def _write(self, trainer: pl.Trainer, name: str) -> None:
        self.written = trainer.global_step
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.part"
        trainer.save_checkpoint(part, weights_only=False)
        if trainer.is_global_zero:
            handle = os.open(part, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(part, self.folder / name)


def _replace(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    os.replace(part, target)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU: tensors and plain values alone.

    Raises IntegrityError if it is none, or holds anything else."""
    try:
        held: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise IntegrityError(
            f"the checkpoint cannot be read: {str(error).splitlines()[0]}",
            str(path),
            "remove the folder of the run and train again",
        ) from error
    return held


def weights_of(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The model's weights by their names in the model."""
    own = "model."
    return {name.removeprefix(own): v for name, v in checkpoint["state_dict"].items() if name.startswith(own)}
