"""Measures a run while it trains."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from labelgen.base.errors import DivergedError
from labelgen.training.loader import StepBatch
from labelgen.training.module import Measured, TrainingModule
from labelgen.training.together import Together
from labelgen.training.tracking import Tracker


class Recorder(pl.Callback):
    """Measures training and validation, and writes a row every so many steps and after each validation.

    Losses are means since the last row in nats a unit, over all processes. turns, tokens: trained on since the run
    began. elapsed_s: of all sittings."""

    def __init__(self, trackers: Sequence[Tracker], every: int, steps: int) -> None:
        self.trackers = trackers
        self.every = every
        self.steps = steps
        self.turns = 0
        self.tokens = 0
        self.validation_loss: float | None = None
        self._epoch = 0
        self._elapsed_s = 0.0
        self._started = time.monotonic()
        self._sums: dict[str, list[float]] = {}
        self._valid: dict[str, list[float]] = {}
        self._row_turns, self._row_s = 0, 0.0

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
        self._row_turns, self._row_s = self.turns, self.elapsed_s
        if trainer.is_global_zero:
            for tracker in self.trackers:
                tracker.start(trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        measured: Mapping[str, Measured] = outputs["measured"]
        tasks = list(pl_module.model.tasks)
        lost = [int(task in measured and not math.isfinite(float(measured[task][0]))) for task in tasks]
        counted = torch.tensor([batch.batch.turns, batch.batch.tokens, *lost], device=pl_module.device)
        turns, tokens, *lost = map(int, torch.as_tensor(trainer.strategy.reduce(counted, reduce_op="sum")).tolist())
        if any(lost):
            # What was learned from it may not be saved, so it is looked for at once and in all processes.
            names = " and ".join(task for task, count in zip(tasks, lost, strict=True) if count)
            step = trainer.global_step + (not batch.part.last)
            raise Together(DivergedError(f"the loss of {names} is not finite in step {step:,}"))
        _gather(self._sums, measured)
        self.turns += turns
        self.tokens += tokens
        self._epoch = batch.part.epoch
        if not batch.part.last:
            return
        step = trainer.global_step
        if step % self.every == 0 or step == self.steps:
            row = {"step": step, "epoch": self._epoch, **self._losses(trainer, pl_module, self._sums, "loss")}
            row |= pl_module.learning_rates(step - 1)
            if pl_module.gradient_norm is not None:
                row["gradient_norm"] = float(pl_module.gradient_norm)
            row |= {f"weight/{task}": round(w, 4) for task, w in pl_module.task_weights().items()}
            row |= {"turns": self.turns, "tokens": self.tokens, "turns_per_s": self._rate()}
            self._add(trainer, row)

    def _rate(self) -> float:
        now = self.elapsed_s
        rate = (self.turns - self._row_turns) / max(now - self._row_s, 1e-9)
        self._row_turns, self._row_s = self.turns, now
        return round(rate, 1)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        _gather(self._valid, outputs)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        losses = self._losses(trainer, pl_module, self._valid, "valid_loss")
        self.validation_loss = losses["valid_loss"]
        self._add(trainer, {"step": trainer.global_step, "epoch": self._epoch, **losses})
        # Time spent here is no time of training.
        self._row_s = self.elapsed_s

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._end()

    def _end(self) -> None:
        for tracker in self.trackers:
            tracker.end()

    def _losses(
        self, trainer: pl.Trainer, module: TrainingModule, sums: dict[str, list[float]], name: str
    ) -> dict[str, float]:
        """Takes the sums out. A task without targets since the last row has none; the whole is weighted as trained."""
        tasks = list(module.model.tasks)
        own = torch.tensor([sums.get(task, [0.0, 0.0]) for task in tasks], dtype=torch.float32, device=module.device)
        whole = torch.as_tensor(trainer.strategy.reduce(own, reduce_op="sum")).tolist()
        sums.clear()
        each = {task: nats / weight for task, (nats, weight) in zip(tasks, whole, strict=True) if weight > 0}
        total: float = sum(module.model.tasks[task].options.weight * loss for task, loss in each.items())
        if not math.isfinite(total):
            lost = " and ".join(f"{name}/{task}" for task, loss in each.items() if not math.isfinite(loss))
            raise Together(DivergedError(f"{lost or name} is not finite after step {trainer.global_step:,}"))
        return {name: total, **{f"{name}/{task}": loss for task, loss in each.items()}}

    def _add(self, trainer: pl.Trainer, row: dict[str, Any]) -> None:
        row["elapsed_s"] = round(self.elapsed_s, 1)
        if trainer.is_global_zero:
            for tracker in self.trackers:
                tracker.add(row)


def _gather(sums: dict[str, list[float]], measured: Mapping[str, Measured]) -> None:
    for task, (nats, weight) in measured.items():
        row = sums.setdefault(task, [0.0, 0.0])
        row[0] += float(nats)
        row[1] += float(weight)
