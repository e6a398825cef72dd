"""Metrics of a training run: the recorder, and metrics.jsonl.

metrics.jsonl is the record of truth; Lightning's loggers get the same rows."""

import math
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytorch_lightning as pl
import torch

from labelgen.base.errors import DivergedError, StorageError
from labelgen.base.files import atomic_write
from labelgen.kernels.device import HostCopy, to_device
from labelgen.training.loader import StepBatch
from labelgen.training.module import LossSums, StopAllProcesses, TrainingModule, gather
from labelgen.training.sampler import StepPart
from labelgen.training.validation import LOSS, Validation

Row = Mapping[str, Any]
_Sums = dict[str, list[float]]
"""Task -> sum of its losses in nats, and of their weights."""

_SHOWN_IDS = 20


def _begin(path: Path, step: int) -> None:
    """Drop the rows that an interrupted run wrote after the step."""
    rows = read_metrics(path) if path.exists() else []
    with atomic_write(path) as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in rows if row["step"] <= step)


def _append(path: Path, row: Row) -> None:
    """Raises StorageError if the row cannot be written."""
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")
    except OSError as error:
        raise StorageError(
            f"cannot write {path.name}: {error.strerror}",
            str(path),
            "free some room and run the same command again: it resumes",
        ) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics.jsonl; skips an incomplete last line."""
    rows = []
    for line in path.read_bytes().splitlines():
        with suppress(msgspec.DecodeError):
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
    return rows


@dataclass(frozen=True, slots=True)
class _MeasuredBatch:
    """Losses and sizes of a batch, which the device may still compute.

    part, step: its place in the run; the step is counted from 1. tasks: of the model. over_processes: sums over all processes of turns, of
    tokens, and of three rows by task: losses that are not finite, nats, weights. finite: whether each loss of this process is."""

    part: StepPart
    step: int
    tasks: tuple[str, ...]
    over_processes: HostCopy
    finite: HostCopy


def _measured(trainer: pl.Trainer, module: TrainingModule, sums: LossSums, batch: StepBatch) -> _MeasuredBatch:
    tasks = tuple(module.model.tasks)
    none = torch.zeros((), device=module.device)
    nats, weights = (torch.stack([sums[t][k].float() if t in sums else none for t in tasks]) for k in (0, 1))
    finite = nats.isfinite()
    sizes = to_device(torch.tensor([batch.batch.turns, batch.batch.tokens], dtype=torch.float32), module.device)
    local = torch.cat([sizes, (~finite).float(), nats, weights])
    step = trainer.global_step + (not batch.part.last)
    whole = torch.as_tensor(trainer.strategy.reduce(local, reduce_op="sum"))
    return _MeasuredBatch(batch.part, step, tasks, HostCopy(whole), HostCopy(finite))


class Recorder(pl.Callback):
    """Records training and validation metrics: one row every so many steps, and one after each validation.

    Losses are means since the last row, in nats a unit, over all processes. turns, tokens: seen in training since the run
    began. elapsed_s: time of all sessions. path: of metrics.jsonl; None writes no file. name: id of a dialogue by its index in the corpus.
    validation: whose task metrics stand in the rows of validations. values: losses and metrics of the last validation; empty before it."""

    def __init__(
        self,
        path: Path | None,
        every: int,
        steps: int,
        name: Callable[[int], str] = str,
        validation: Validation | None = None,
    ) -> None:
        self.path = path
        self.every = every
        self.name = name
        self.validation = validation
        self.steps = steps
        self.turns = 0
        self.tokens = 0
        self.values: dict[str, float] = {}
        self._epoch = 0
        self._elapsed_s = 0.0
        self._started = time.monotonic()
        self._sums: _Sums = {}
        self._valid: _Sums = {}
        self._row_counts, self._row_s = {"turns_per_s": 0, "tokens_per_s": 0}, 0.0
        self._latest: _MeasuredBatch | None = None

    @property
    def elapsed_s(self) -> float:
        return self._elapsed_s + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"turns": self.turns, "tokens": self.tokens, "elapsed_s": self.elapsed_s, "sums": self._sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.turns, self.tokens = state_dict["turns"], state_dict["tokens"]
        self._elapsed_s, self._sums = state_dict["elapsed_s"], state_dict["sums"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic()
        self._row_counts, self._row_s = {"turns_per_s": self.turns, "tokens_per_s": self.tokens}, self.elapsed_s
        if trainer.is_global_zero and self.path is not None:
            _begin(self.path, trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        self.flush(trainer)
        self._latest = _measured(trainer, pl_module, outputs["sums"], batch)
        self._epoch = batch.part.epoch
        if not batch.part.last:
            return
        step = trainer.global_step
        if step % self.every == 0 or step == self.steps:
            self.flush(trainer)
            row = {"step": step, "epoch": self._epoch, **_mean_losses(pl_module, self._sums, "loss", step)}
            self._sums.clear()
            row |= pl_module.learning_rates(step - 1)
            if pl_module.gradient_norm is not None:
                row["gradient_norm"] = float(pl_module.gradient_norm)
            row |= {"turns": self.turns, "tokens": self.tokens, **self._rates()}
            row["peak_memory_gib"] = _peak_memory_gib(trainer, pl_module.device)
            self._write(trainer, row)

    def _rates(self) -> dict[str, float]:
        """Throughput since the last row, over all processes."""
        now, counts = self.elapsed_s, {"turns_per_s": self.turns, "tokens_per_s": self.tokens}
        spent_s = max(now - self._row_s, 1e-9)
        rates = {name: round((count - self._row_counts[name]) / spent_s, 1) for name, count in counts.items()}
        self._row_counts, self._row_s = counts, now
        return rates

    def flush(self, trainer: pl.Trainer) -> None:
        """Add the numbers of the latest batch to the sums, and check that its losses are finite in all processes. This waits until
        the device has them, so it happens a batch later, or before a row, a validation or a checkpoint. All processes call it at once.

        Raises StopAllProcesses with the ids of the dialogues if a loss is not finite."""
        batch, self._latest = self._latest, None
        if batch is None:
            return
        turns, tokens, *rows = batch.over_processes.read().tolist()
        count = len(batch.tasks)
        bad, nats, weights = rows[:count], rows[count : 2 * count], rows[2 * count :]
        if any(bad):
            names = " and ".join(task for task, count in zip(batch.tasks, bad, strict=True) if count)
            local = [] if bool(batch.finite.read().all()) else batch.part.indices
            ids = sorted(self.name(index) for index in chain(*gather(trainer, list(local))))
            shown = ", ".join(ids[:_SHOWN_IDS]) + (
                f" and {len(ids) - _SHOWN_IDS:,} more" if len(ids) > _SHOWN_IDS else ""
            )
            what = f"the loss of {names} is not finite in step {batch.step:,}, in a batch of the dialogues {shown}"
            raise StopAllProcesses(DivergedError(what))
        for task, *pair in zip(batch.tasks, nats, weights, strict=True):
            _add(self._sums, task, *pair)
        self.turns += int(turns)
        self.tokens += int(tokens)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.flush(trainer)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for task, (nats, weight) in outputs["sums"].items():
            _add(self._valid, task, float(nats), float(weight))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        losses = _mean_losses(pl_module, _over_processes(trainer, pl_module, self._valid), LOSS, trainer.global_step)
        self._valid.clear()
        self.values = losses | ({} if self.validation is None else self.validation.values)
        self._write(trainer, {"step": trainer.global_step, "epoch": self._epoch, **self.values})
        # Validation time does not count in the training rate.
        self._row_s = self.elapsed_s

    def _write(self, trainer: pl.Trainer, row: dict[str, Any]) -> None:
        row["elapsed_s"] = round(self.elapsed_s, 1)
        if trainer.is_global_zero:
            if self.path is not None:
                _append(self.path, row)
            for logger in trainer.loggers:
                logger.log_metrics(row, row["step"])


def _over_processes(trainer: pl.Trainer, module: TrainingModule, sums: _Sums) -> _Sums:
    """Sums of losses over all processes."""
    tasks = list(module.model.tasks)
    local = torch.tensor([sums.get(task, [0.0, 0.0]) for task in tasks], dtype=torch.float32, device=module.device)
    whole = torch.as_tensor(trainer.strategy.reduce(local, reduce_op="sum")).tolist()
    return dict(zip(tasks, whole, strict=True))


def _mean_losses(module: TrainingModule, sums: _Sums, name: str, step: int) -> dict[str, float]:
    """Mean losses from sums over all processes. A task without targets has none; the total uses the task weights of the options.

    Raises StopAllProcesses if one is not finite."""
    means = {task: nats / weight for task, (nats, weight) in sums.items() if weight > 0}
    total: float = sum(module.model.tasks[task].options.weight * loss for task, loss in means.items())
    if not math.isfinite(total):
        bad = " and ".join(f"{name}/{task}" for task, loss in means.items() if not math.isfinite(loss))
        raise StopAllProcesses(DivergedError(f"{bad or name} is not finite after step {step:,}"))
    return {name: total, **{f"{name}/{task}": loss for task, loss in means.items()}}


def _peak_memory_gib(trainer: pl.Trainer, device: torch.device) -> float:
    """The largest memory of a process so far: allocated on its GPU by torch, or resident on a CPU."""
    # Linux gives the resident memory in KiB.
    cuda = device.type == "cuda"
    size = (
        torch.cuda.max_memory_allocated(device) if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    local = torch.tensor(size / 2**30, device=device)
    return round(float(torch.as_tensor(trainer.strategy.reduce(local, reduce_op="max"))), 3)


def _add(sums: _Sums, task: str, nats: float, weight: float) -> None:
    row = sums.setdefault(task, [0.0, 0.0])
    row[0] += nats
    row[1] += weight
