"""One training module for every task: pretraining and finetuning differ in their examples only."""

import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from labelgen.features.layout import Batch
from labelgen.model.label_model import LabelModel
from labelgen.nn.losses import Loss
from labelgen.training.loader import StepBatch
from labelgen.training.options import OptimizerOptions
from labelgen.training.sampler import Part
from labelgen.training.task_weights import LearnedWeights

ENCODER = "turn_encoder."
"""Parameters whose names begin so were pretrained."""

Measured = tuple[Tensor, Tensor]
"""Sum of weighted nats of a task in a batch, and the weight it is divided by."""


class TrainingModule(pl.LightningModule):
    """The loss of a step is, for each task, the sum of its nats over all batches of the step in all processes divided by
    their weight, so cutting a step into batches changes no gradient; tasks are added by their weights, and by learned ones
    besides where the options ask for it.

    steps: of the whole run, which the learning rate falls over. gradient_norm: of the last step, before it was clipped. online_share: of the batches, whose turns see no later
    ones."""

    def __init__(
        self, model: LabelModel, options: OptimizerOptions, steps: int, seed: int, online_share: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.steps = steps
        self.seed = seed
        self.online_share = online_share
        self.learned_weights = LearnedWeights([*model.tasks]) if options.learn_task_weights else None
        self.gradient_norm: Tensor | None = None
        self.undecayed = frozenset(name for name, p in model.named_parameters() if p.ndim < 2)

    def on_train_batch_start(self, batch: StepBatch, batch_idx: int) -> None:
        # Dropout is a pure function of the place in the run: nothing of it need be saved to go on to the bit.
        place = [self.seed, self.global_rank, batch.part.step, batch.part.part]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]) >> 1)

    def training_step(self, batch: StepBatch, batch_idx: int) -> dict[str, Any]:
        losses = self.model.losses(batch.batch, causal=self._online(batch.part))
        weights = self._global_weights(batch)
        # Zero with a gradient of zero, so that a batch without targets takes part like any other.
        loss = sum((p.sum() * 0.0 for p in self.parameters() if not losses and p.requires_grad), torch.zeros(()))
        for name, found in losses.items():
            own = found.total / weights[name]
            if self.learned_weights is not None:
                own = self.learned_weights(name, own, found.weight / weights[name])
            loss = loss.to(found.total) + self.model.tasks[name].options.weight * own
        # Lightning divides by the number of accumulated batches, and averages over processes.
        scale = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return {"loss": loss * scale, "measured": _measured(losses)}

    def _online(self, part: Part) -> bool:
        """A pure function of the place in the run, as dropout is, but drawn from other numbers."""
        place = [self.seed, self.global_rank, part.step, part.part, 1]
        return bool(np.random.default_rng(place).random() < self.online_share)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Measured]:
        return _measured(self.model.losses(batch))

    def _global_weights(self, batch: StepBatch) -> dict[str, Tensor]:
        own = torch.tensor([batch.weights.get(name, 0.0) for name in self.model.tasks], device=self.device)
        total = self.trainer.strategy.reduce(own, reduce_op="sum")
        return dict(zip(self.model.tasks, torch.as_tensor(total).unbind(), strict=True))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                # A sharding strategy puts its own words into the names.
                own = name.replace("_fsdp_wrapped_module.", "")
                groups.setdefault((own.startswith(ENCODER), own in self.undecayed), []).append(parameter)
        if self.learned_weights is not None:
            groups.setdefault((False, True), []).extend(self.learned_weights.parameters())
        optimizer = AdamW(
            [
                {
                    "params": parameters,
                    "lr": self.options.encoder_learning_rate if encoder else self.options.learning_rate,
                    "weight_decay": 0.0 if undecayed else self.options.weight_decay,
                }
                for (encoder, undecayed), parameters in sorted(groups.items(), key=lambda item: item[0])
            ],
            fused=True,
        )
        schedule = LambdaLR(optimizer, self.rate_at)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By the norm of all gradients. Lightning's own refuses fused optimizers, and sharded parameters."""
        # Clipped to infinity, gradients stay what they are, and are measured.
        most = self.options.clip or math.inf
        whole = self.trainer.strategy.model
        if isinstance(whole, FullyShardedDataParallel):
            self.gradient_norm = whole.clip_grad_norm_(most)
        else:
            self.gradient_norm = torch.nn.utils.clip_grad_norm_(self.parameters(), most)

    def task_weights(self) -> dict[str, float]:
        """Those that are learned, as they are now; empty where none are."""
        return {} if self.learned_weights is None else self.learned_weights.told()

    def rate_at(self, step: int) -> float:
        """Share of the peak learning rate at a step."""
        warmup = max(1, round(self.options.warmup * self.steps))
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return max(0.0, (self.steps - step) / max(1, self.steps - warmup))

    def learning_rates(self, step: int) -> dict[str, float]:
        """Those that a step is made with."""
        share = self.rate_at(step)
        return {
            "learning_rate": share * self.options.learning_rate,
            "encoder_learning_rate": share * self.options.encoder_learning_rate,
        }


def _measured(losses: dict[str, Loss]) -> dict[str, Measured]:
    return {name: (loss.total.detach(), loss.weight.detach()) for name, loss in losses.items()}
