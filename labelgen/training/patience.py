"""Ends a run whose validation loss falls no more."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from labelgen.training.recorder import Recorder


class Patience(pl.Callback):
    """Ends a run after `epochs` in a row without a smaller validation loss than before; never, where that is None. All
    processes know the same loss, so they stop together."""

    def __init__(self, epochs: int | None, recorder: Recorder) -> None:
        self.epochs = epochs
        self.recorder = recorder
        self.least: float | None = None
        self.waited = 0

    def state_dict(self) -> dict[str, Any]:
        return {"least": self.least, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.least, self.waited = state_dict["least"], state_dict["waited"]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = self.recorder.validation_loss
        # A run that its time ends in the midst of an epoch is validated there too.
        if loss is None or not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        self.waited = 0 if self.least is None or loss < self.least else self.waited + 1
        self.least = loss if self.least is None else min(loss, self.least)
        trainer.should_stop = trainer.should_stop or lost(self.state_dict(), self.epochs)


def lost(state: Mapping[str, Any], epochs: int | None) -> bool:
    """Whether a run with this state of the callback has waited long enough."""
    return epochs is not None and int(state["waited"]) >= epochs
