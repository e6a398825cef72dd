"""Checkpoints: files that an index names, whose writing is the one commit of them all.

checkpoints/step-120.ckpt   weights, optimizer and the place in the run
checkpoints/index.json      which of them is which, with their digests

What the index does not name is of no run. Nothing that stands in a checkpoint is run when it is read."""

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from labelgen.base.errors import DivergedError, IntegrityError, LabelgenError, integrity_errors
from labelgen.base.files import atomic_write, digest_file, read_json, sweep, write_text

INDEX = "index.json"
_OLD = "last.ckpt"
"""What labelgen 0.2 named its last checkpoint, which had no digest."""
_OURS = re.compile(r"step-\d+(-\d+)?\.ckpt")


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint of the folder. sha256: of the file, in hexadecimal."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Index:
    """last: where training stands. best: of the epoch with the least validation loss so far. safe: the newest whose weights are known to
    give a finite loss; None before there is one."""

    last: Saved
    best: Saved | None
    safe: Saved | None

    def files(self) -> set[str]:
        return {saved.file for saved in (self.last, self.best, self.safe) if saved is not None}


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def index(self) -> Index | None:
        """None where nothing was committed yet. Raises IntegrityError where it cannot be read, or is of labelgen 0.2."""
        path = self.path / INDEX
        if not path.exists():
            if (self.path / _OLD).exists():
                raise IntegrityError(
                    f"{_OLD} was written by labelgen 0.2, without a digest",
                    str(self.path / _OLD),
                    "finish that run by labelgen 0.2, or name another folder for `out` and train anew",
                )
            return None
        return read_json(path, Index, _MEND)

    def read(self, saved: Saved) -> dict[str, Any]:
        """What a checkpoint holds, on the CPU: tensors and plain values alone.

        Raises IntegrityError if it is not the file that was written, or holds anything else."""
        path = self.path / saved.file
        if not path.is_file():
            raise IntegrityError("the checkpoint is gone", str(path), _MEND)
        if digest_file(path) != saved.sha256:
            raise IntegrityError("the checkpoint is not the file that was written", str(path), _MEND)
        with integrity_errors("the checkpoint cannot be read", path, _MEND):
            held: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return held

    def new(self, step: int) -> Path:
        """Where a checkpoint of this step goes: never where one lies that counts."""
        index = self.index()
        taken = index.files() if index else set()
        names = (f"step-{step}{again}.ckpt" for again in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        return self.path / next(name for name in names if name not in taken)

    def commit(self, index: Index) -> None:
        """From here on the index counts, and what it does not name is removed."""
        write_text(self.path / INDEX, msgspec.json.encode(index).decode() + "\n")
        self.sweep(index)

    def sweep(self, index: Index | None) -> None:
        """Remove what is of no use any more, or was left by a kill."""
        sweep(self.path)
        kept = index.files() if index else set()
        for path in self.path.glob("step-*.ckpt"):
            if _OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink(missing_ok=True)


_MEND = "bring the file back from a copy, or name another folder for `out` and train anew"


class CheckpointWriter(TorchCheckpointIO):
    """Writes a checkpoint to a temporary name beside its own, and renames it once it is synced; in the first process alone.

    outcome: of the last one; why it was not written, or what was. A checkpoint that holds numbers that are not finite is not
    written: DivergedError."""

    def __init__(self) -> None:
        super().__init__()
        self.outcome: Saved | LabelgenError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        # Raised here, an error would leave the other processes waiting.
        try:
            self.outcome = _write(checkpoint, Path(path))
        except LabelgenError as error:
            self.outcome = error


def _write(checkpoint: dict[str, Any], path: Path) -> Saved:
    place = next(_not_finite(checkpoint), None)
    if place is not None:
        raise DivergedError(f"{place} is not finite after step {checkpoint['global_step']:,}")
    with atomic_write(path) as file:
        hashing = _Hashing(file)
        try:
            torch.save(checkpoint, cast(IO[bytes], hashing))
        except RuntimeError as error:
            # torch puts an error of its own in the place of the system's.
            raise hashing.error or error from error
    return Saved(path.name, hashing.digest.hexdigest())


class _Hashing:
    """A file to be written from front to back, and the digest of what was to be written."""

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
    """Where numbers are not finite, as dotted keys."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield place
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from _not_finite(held, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _not_finite(held, place)
    elif isinstance(value, float) and not math.isfinite(value):
        yield place


def weights_of(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The model's weights by their names in the model."""
    own = "model."
    return {name.removeprefix(own): v for name, v in checkpoint["state_dict"].items() if name.startswith(own)}
