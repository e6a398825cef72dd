"""TensorBoard besides metrics.jsonl, by the logger of torch.

Each session writes the files again from the rows of metrics.jsonl and goes on from there. So a resumed run has one file of each form, with
every row once, and a logger that is added later has the earlier rows too."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.registry import resolve
from labelgen.training.options import LOGGERS
from labelgen.training.tracking import Row, Tracker, read_metrics

_PLACE = ("step", "epoch", "elapsed_s")
"""Columns that say where a row stands in the run."""


class FileLogger(ABC):
    """Tracker whose files are a copy of metrics.jsonl. folder: of the run. pattern: of the names of its files in its own folder there."""

    name: str
    pattern: str

    def __init__(self, folder: Path, metrics: Path) -> None:
        self.folder = folder / self.name
        self.metrics = metrics

    def start(self, step: int) -> None:
        """Write the rows of earlier sessions. metrics.jsonl has none after the step."""
        with self._errors():
            for path in self.folder.glob(self.pattern):
                path.unlink()
            rows = read_metrics(self.metrics) if self.metrics.exists() else []
            self.open(float(rows[-1].get("elapsed_s", 0.0)) if rows else 0.0)
            for row in rows:
                self.write(row)
            self.flush()

    def add(self, row: Row) -> None:
        """Raises StorageError if the row cannot be written."""
        with self._errors():
            self.write(row)
            self.flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot write the files of {self.name}: {error.strerror or error}",
                str(self.folder),
                "free some room and run the same command again: it resumes",
            ) from error

    @abstractmethod
    def open(self, elapsed_s: float) -> None:
        """Open new files. elapsed_s: of the run so far."""

    @abstractmethod
    def write(self, row: Row) -> None: ...

    @abstractmethod
    def flush(self) -> None: ...

    @abstractmethod
    def end(self) -> None: ...


class TensorBoard(FileLogger):
    """tensorboard/events.out.tfevents.*: a scalar for each key over the steps, at its time in the run."""

    name = "tensorboard"
    pattern = "events.out.tfevents.*"
    _writer: Any = None

    def open(self, elapsed_s: float) -> None:
        # Not at the top: its package is an extra.
        from torch.utils.tensorboard import SummaryWriter

        self._began = time.time() - elapsed_s
        self._writer = SummaryWriter(str(self.folder))

    def write(self, row: Row) -> None:
        for name, value in row.items():
            if name not in _PLACE:
                self._writer.add_scalar(name, value, row["step"], walltime=self._began + row["elapsed_s"])

    def flush(self) -> None:
        self._writer.flush()

    def end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def loggers(names: Sequence[str], folder: Path, metrics: Path) -> list[Tracker]:
    """Loggers of a run by their names. They follow the file of metrics, from which they start."""
    return [resolve(LOGGERS, name, "logger")(folder, metrics) for name in dict.fromkeys(names)]


def check_loggers(names: Sequence[str]) -> None:
    """Raises UsageError if the package of a logger is not installed."""
    if TensorBoard.name in names and find_spec("tensorboard") is None:
        hint = "pip install 'labelgen[tensorboard]', or leave it out"
        raise UsageError("TensorBoard is not installed", "tracking.loggers", hint)
