"""Checkpoints and early stopping: the checkpoint folder, when a run saves, and when it stops for lack of progress.

checkpoints/step-120.ckpt   weights, optimizer and the place in the run
checkpoints/index.json      roles of the checkpoints, with their digests

Writing the index is the commit. Files that the index does not name belong to no run. Reading a checkpoint executes no code."""

import hashlib
import math
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from labelgen.base.errors import DivergedError, IntegrityError, LabelgenError, integrity_errors
from labelgen.base.files import atomic_write, digest_file, read_json, sweep, write_text
from labelgen.base.process import Terminated
from labelgen.training.loader import StepBatch
from labelgen.training.module import StopAllProcesses, stop_all
from labelgen.training.tracking import Recorder
from labelgen.training.validation import Monitor

INDEX = "index.json"
_NAME = re.compile(r"step-\d+(-\d+)?\.ckpt")
_HINT = "restore the file from a copy, or name another folder for `out` and start a new training"


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint file of the folder. sha256: in hexadecimal."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CheckpointIndex:
    """last: the newest. best: of the epoch with the best monitored value so far."""

    last: SavedCheckpoint
    best: SavedCheckpoint | None

    def files(self) -> set[str]:
        """Names of all checkpoint files."""
        return {saved.file for saved in (self.last, self.best) if saved is not None}


class CheckpointFolder:
    """Checkpoints of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def index(self) -> CheckpointIndex | None:
        """The index; None before the first commit. Raises IntegrityError if it cannot be read."""
        path = self.path / INDEX
        if not path.exists():
            return None
        return read_json(path, CheckpointIndex, _HINT)

    def read(self, saved: SavedCheckpoint) -> dict[str, Any]:
        """Content of a checkpoint on the CPU: tensors and plain values only.

        Raises IntegrityError if the file changed, or contains anything else."""
        path = self.path / saved.file
        if not path.is_file():
            raise IntegrityError("the checkpoint is missing", str(path), _HINT)
        if digest_file(path) != saved.sha256:
            raise IntegrityError("the checkpoint changed after it was written", str(path), _HINT)
        with integrity_errors("the checkpoint cannot be read", path, _HINT):
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint

    def new(self, step: int) -> Path:
        """Path for a checkpoint of this step that no committed checkpoint uses."""
        index = self.index()
        taken = index.files() if index else set()
        names = (f"step-{step}{suffix}.ckpt" for suffix in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        return self.path / next(name for name in names if name not in taken)

    def commit(self, index: CheckpointIndex) -> None:
        """Write the index, then remove the files that it does not name."""
        write_text(self.path / INDEX, msgspec.json.encode(index).decode() + "\n")
        self.sweep(index)

    def sweep(self, index: CheckpointIndex | None) -> None:
        """Remove unused checkpoints and files that a kill left."""
        sweep(self.path)
        used = index.files() if index else set()
        for path in self.path.glob("step-*.ckpt"):
            if _NAME.fullmatch(path.name) and path.name not in used:
                path.unlink(missing_ok=True)


class CheckpointWriter(TorchCheckpointIO):
    """Lightning plugin that writes a checkpoint atomically; Lightning calls it in the first process only.

    outcome: of the last write: the checkpoint, or the error. A checkpoint with values that are not finite is not
    written: DivergedError."""

    def __init__(self) -> None:
        super().__init__()
        self.outcome: SavedCheckpoint | LabelgenError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        # An error raised here would leave the other processes waiting.
        try:
            self.outcome = _write(checkpoint, Path(path))
        except LabelgenError as error:
            self.outcome = error


def _write(checkpoint: dict[str, Any], path: Path) -> SavedCheckpoint:
    place = next(_not_finite(checkpoint), None)
    if place is not None:
        raise DivergedError(f"{place} is not finite after step {checkpoint['global_step']:,}")
    with atomic_write(path) as file:
        hashing = _HashingFile(file)
        try:
            torch.save(checkpoint, cast(IO[bytes], hashing))
        except RuntimeError as error:
            # torch replaces the system's error by its own.
            raise hashing.error or error from error
    return SavedCheckpoint(path.name, hashing.digest.hexdigest())


class _HashingFile:
    """A file that is written sequentially, with the digest of its content and the first error."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self.error: OSError | None = None
        self._write: Callable[[bytes], int] = file.write
        self.flush = file.flush

    def write(self, data: bytes) -> int:
        try:
            written = self._write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return written


def _not_finite(value: Any, place: str = "") -> Iterator[str]:
    """Dotted keys of values that are not finite."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield place
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _not_finite(item, place)
    elif isinstance(value, float) and not math.isfinite(value):
        yield place


def weights_of(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Weights of the model by their names in the model."""
    prefix = "model."
    return {name.removeprefix(prefix): v for name, v in checkpoint["state_dict"].items() if name.startswith(prefix)}


class Checkpoints(pl.Callback):
    """Saves a checkpoint every so many steps, at the best monitored value so far, and at the end of the run. It also saves at the end
    of an epoch if a tenth as many steps went by since the last one, and on SIGTERM or SIGUSR1 (SLURM's warning) to any process at the end
    of the step, or of the epoch if it is its last step.

    writer: the trainer's plugin, which writes the files that are committed here. monitor: the value that makes an epoch the best one;
    None if no best epoch is kept."""

    def __init__(
        self,
        folder: CheckpointFolder,
        writer: CheckpointWriter,
        every: int,
        recorder: Recorder,
        monitor: Monitor | None,
    ) -> None:
        self.folder = folder
        self.writer = writer
        self.every = every
        self.recorder = recorder
        self.monitor = monitor
        self.best: float | None = None
        self.written = 0
        self._terminated = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        index = self.folder.index()
        self.written = trainer.global_step
        # Lightning's own handler talks to other processes at once, in the middle of their work. Lightning restores the handlers
        # at the end.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, self._on_sigterm)
        if trainer.is_global_zero:
            self.folder.sweep(index)

    def _on_sigterm(self, *_: Any) -> None:
        self._terminated = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        if not batch.part.last:
            return
        # The last step of an epoch is saved at the end of the epoch, after validation.
        if trainer.should_stop or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        terminated = self._any_terminated(trainer)
        if terminated or trainer.global_step % self.every == 0:
            self._save(trainer)
        if terminated:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = self.recorder.values
        value = None if self.monitor is None else values.get(self.monitor.name)
        better = self.monitor is not None and self.monitor.better(value, self.best)
        if better:
            self.best = value
        terminated = self._any_terminated(trainer)
        # Otherwise epochs of a few steps would mostly write.
        if better or terminated or trainer.should_stop or 10 * (trainer.global_step - self.written) >= self.every:
            self._save(trainer, better)
        if terminated:
            self._stop(trainer)

    def _any_terminated(self, trainer: pl.Trainer) -> bool:
        """The same in all processes, whichever of them got the signal."""
        return trainer.strategy.reduce_boolean_decision(self._terminated, all=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        raise StopAllProcesses(
            Terminated(f"a checkpoint is saved after step {trainer.global_step:,}, and the same command resumes there")
        )

    def _save(self, trainer: pl.Trainer, best: bool = False) -> None:
        # Weights after a loss that is not finite are not saved.
        self.recorder.flush(trainer)
        self.written = trainer.global_step
        trainer.save_checkpoint(self.folder.new(trainer.global_step), weights_only=False)
        self._commit(trainer, self.writer.outcome, best)

    def _commit(self, trainer: pl.Trainer, saved: SavedCheckpoint | LabelgenError | None, best: bool) -> None:
        """Commit in the first process; all processes wait for it and raise its error."""
        reason = saved if isinstance(saved, LabelgenError) else None
        if trainer.is_global_zero and isinstance(saved, SavedCheckpoint):
            try:
                index = self.folder.index()
                self.folder.commit(CheckpointIndex(saved, saved if best else index.best if index else None))
            except LabelgenError as error:
                reason = error
        stop_all(trainer, reason)
