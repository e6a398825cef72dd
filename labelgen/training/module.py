"""Lightning module for every task, and the exception that ends all processes of a run.

Pretraining and finetuning differ in their examples only."""

from typing import Any, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from labelgen.base.errors import LabelgenError
from labelgen.base.process import Terminated
from labelgen.data.labels import Answers
from labelgen.kernels.device import HostCopy, to_device
from labelgen.model.annotate import decode_dialogues
from labelgen.model.label_model import Encoded, LabelModel
from labelgen.nn.structure import Loss
from labelgen.training.loader import HeldOutBatch, StepBatch
from labelgen.training.options import OptimizerOptions
from labelgen.training.sampler import StepPart

T = TypeVar("T")

ENCODER = "turn_encoder."
"""Prefix of the names of pretrained parameters."""
MAX_NORM = 1.0
"""Maximum norm of all gradients of a step."""
WARMUP = 0.06
"""Share of steps with a rising learning rate; it falls linearly to zero in the others."""

LossSums = dict[str, tuple[Tensor, Tensor]]
"""Task -> weighted sum of its losses in nats in a batch, and the total weight to divide it by."""


class StopAllProcesses(Exception):  # noqa: N818
    """Raised in every process of a run at the same place. After training the first process raises `reason` instead."""

    def __init__(self, reason: LabelgenError | Terminated) -> None:
        super().__init__(reason)
        self.reason = reason


def stop_all(trainer: pl.Trainer, reason: LabelgenError | None) -> None:
    """Raises StopAllProcesses in all processes if the first one has a reason; also waits for the first one."""
    agreed = trainer.strategy.broadcast(reason)
    if agreed is not None:
        raise StopAllProcesses(agreed)


def gather(trainer: pl.Trainer, share: T) -> list[T]:
    """What each process has, in all processes."""
    if trainer.world_size == 1:
        return [share]
    shares: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(shares, share)
    return shares


class TrainingModule(pl.LightningModule):
    """Training step, optimizer and learning rate schedule.

    The loss of a step is, for each task, the sum of its losses over all batches of the step in all processes, divided by
    their total weight. So splitting a step into batches changes no gradient. Tasks are added with their weights.

    steps: of the whole run; the learning rate falls over them. gradient_norm: of the last step, before clipping.
    online_share: share of batches in which a turn does not see later turns. fused: whether the optimizer is torch's fused one."""

    def __init__(
        self,
        model: LabelModel,
        options: OptimizerOptions,
        steps: int,
        seed: int,
        online_share: float = 0.0,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.steps = steps
        self.seed = seed
        self.online_share = online_share
        self.fused = fused
        self.gradient_norm: Tensor | None = None
        self._step_weights: HostCopy | None = None
        self._label_vectors: dict[str, Tensor] = {}
        self.undecayed = frozenset(name for name, p in model.named_parameters() if p.ndim < 2)

    def on_train_batch_start(self, batch: StepBatch, batch_idx: int) -> None:
        # Dropout is a pure function of the place in the run, so resuming is bitwise identical without saved state.
        torch.manual_seed(int(np.random.SeedSequence(self._place(batch.part)).generate_state(1, np.uint64)[0]) >> 1)

    def _place(self, part: StepPart) -> list[int]:
        """The place of a batch in the run, which does not depend on how the batches of a step are divided among processes."""
        return [self.seed, 0, part.step, part.part]

    def training_step(self, batch: StepBatch, batch_idx: int) -> dict[str, Any]:
        losses = self.model.losses(batch.batch, causal=self._is_online(batch.part))
        weights = self._global_weights(batch)
        # Zero with a gradient of zero. A batch without targets takes part like any other, and all processes have gradients of the same
        # parameters, whatever targets their batches have.
        every = not losses or self.trainer.world_size > 1
        zero = torch.zeros((), device=self.device)
        loss = sum((p.sum() * 0.0 for p in self.parameters() if every and p.requires_grad), zero)
        for name, part in losses.items():
            loss = loss.to(part.total.dtype) + self.model.tasks[name].options.weight * (part.total / weights[name])
        # Lightning divides by the number of accumulated batches, and averages over processes.
        scale = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return {"loss": loss * scale, "sums": _loss_sums(losses)}

    def _is_online(self, part: StepPart) -> bool:
        """A pure function of the place in the run, like dropout, with other random numbers."""
        return bool(np.random.default_rng([*self._place(part), 1]).random() < self.online_share)

    def validation_step(self, batch: HeldOutBatch, batch_idx: int) -> dict[str, Any]:
        """Sums of losses and, for a batch whose labels are compared, the predictions end to end and on the goals of the reference."""
        if batch_idx == 0:
            # As in the saved model. Training goes on with the vectors that it had.
            self._label_vectors = {name: v.clone() for name, v in self.model.label_vectors().items()}
            self.model.refresh_labels()
        encoded = self.model.encode(batch.batch)
        sums = _loss_sums(self.model.losses(batch.batch, encoded=encoded))
        return {"sums": sums, "predictions": None if batch.goals is None else self._predictions(batch, encoded)}

    def _predictions(self, batch: HeldOutBatch, encoded: Encoded) -> list[tuple[Answers, Answers]]:
        assert batch.goals is not None
        model, layout = self.model, batch.batch.layout
        states = model.states(batch.batch, encoded)
        start, given = (layout.with_goals(goals) for goals in zip(*batch.goals, strict=True))
        about_goals = [name for name, task in model.tasks.items() if "goal" in task.units and not task.divides]
        end_to_end = decode_dialogues(model, states, start, list(model.tasks), predict_goals=True)
        on_given = decode_dialogues(model, states, given, about_goals, predict_goals=False)
        return list(zip(end_to_end, on_given, strict=True))

    def on_validation_end(self) -> None:
        with torch.no_grad():
            vectors = self.model.label_vectors()
            for name, before in self._label_vectors.items():
                vectors[name].copy_(before)

    def _global_weights(self, batch: StepBatch) -> dict[str, Tensor]:
        """Total weight of each task in the step's batches of all processes."""
        local = to_device(torch.tensor([batch.weights.get(name, 0.0) for name in self.model.tasks]), self.device)
        total = torch.as_tensor(self.trainer.strategy.reduce(local, reduce_op="sum"))
        self._step_weights = HostCopy(total) if self.trainer.world_size > 1 else None
        return dict(zip(self.model.tasks, total.unbind(), strict=True))

    def _idle_heads(self) -> list[nn.Module]:
        """Heads without targets in any process. The copy of the weights was made at the start of the step, so reading it waits for the
        steps before, not for this one."""
        if self._step_weights is None:
            return []
        weights = zip(self.model.tasks, self._step_weights.read().tolist(), strict=True)
        return self.model.idle_heads({name for name, weight in weights if weight > 0.0})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        named = dict(self.named_parameters())
        optimizer = AdamW(
            [
                {
                    "params": [named[name] for name in names],
                    "lr": self.options.encoder_learning_rate if encoder else self.options.learning_rate,
                    "weight_decay": 0.0 if undecayed else self.options.weight_decay,
                }
                for (encoder, undecayed), names in self._parameter_groups().items()
            ],
            fused=self.fused,
        )
        schedule = LambdaLR(optimizer, self.rate_at)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _parameter_groups(self) -> dict[tuple[bool, bool], list[str]]:
        """Names of the trained parameters, by whether they are the encoder's, and whether they are without weight decay."""
        groups: dict[tuple[bool, bool], list[str]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((name.startswith(ENCODER), name in self.undecayed), []).append(f"model.{name}")
        return dict(sorted(groups.items()))

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip by the norm of all gradients. Lightning's own clipping refuses fused optimizers."""
        for head in self._idle_heads():
            # Without targets in any process a head stays as it is; a gradient of zero would move it by its momentum.
            head.zero_grad(set_to_none=True)
        self.gradient_norm = nn.utils.clip_grad_norm_(self.parameters(), MAX_NORM)

    def rate_at(self, step: int) -> float:
        """Share of the peak learning rate at a step: linear warmup, then linear decay to zero."""
        warmup = max(1, round(WARMUP * self.steps))
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return max(0.0, (self.steps - step) / max(1, self.steps - warmup))

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rates of a step."""
        share = self.rate_at(step)
        return {
            "learning_rate": share * self.options.learning_rate,
            "encoder_learning_rate": share * self.options.encoder_learning_rate,
        }


def _loss_sums(losses: dict[str, Loss]) -> LossSums:
    return {name: (loss.total.detach(), loss.weight.detach()) for name, loss in losses.items()}
