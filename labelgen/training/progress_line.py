"""Steps, rate and remaining time while a run trains."""

import sys
import time
from typing import Any

import pytorch_lightning as pl

from labelgen.training.loader import StepBatch
from labelgen.training.recorder import Recorder


class ProgressLine(pl.Callback):
    """One line on standard error: redrawn on a terminal, else printed now and then."""

    def __init__(self, steps: int, recorder: Recorder) -> None:
        self.steps = steps
        self.recorder = recorder
        self.interactive = sys.stderr.isatty()
        self._every_s = 0.5 if self.interactive else 20.0
        self._started = self._last = time.monotonic()
        self._first_step, self._first_turns = 0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = self._last = time.monotonic()
        self._first_step, self._first_turns = trainer.global_step, self.recorder.turns

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if not batch.part.last or not trainer.is_global_zero or now - self._last < self._every_s:
            return
        self._last = now
        step, spent_s = trainer.global_step, now - self._started
        rate = (self.recorder.turns - self._first_turns) / spent_s
        left_s = (self.steps - step) * spent_s / max(step - self._first_step, 1)
        text = f"train: step {step:,}/{self.steps:,}, epoch {batch.part.epoch + 1}, {rate:,.1f} turns/s, {_span(left_s)} left"
        sys.stderr.write(f"\r\x1b[K{text}" if self.interactive else f"{text}\n")
        sys.stderr.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.interactive:
            sys.stderr.write("\r\x1b[K")


def _span(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"
