"""What ends the training of all processes at once, each of which would else wait for the others."""

import pytorch_lightning as pl

from labelgen.base.errors import LabelgenError
from labelgen.base.process import Terminated


class Together(Exception):  # noqa: N818
    """Raised in every process of a run at the same place; the first one raises `why` in its stead once training is left."""

    def __init__(self, why: LabelgenError | Terminated) -> None:
        super().__init__(why)
        self.why = why


def stop_together(trainer: pl.Trainer, why: LabelgenError | None) -> None:
    """Raises Together where the first process has a reason to; also waits for it."""
    agreed = trainer.strategy.broadcast(why)
    if agreed is not None:
        raise Together(agreed)
