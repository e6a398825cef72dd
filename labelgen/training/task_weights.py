"""Weights of tasks that are learned beside the model: a task whose loss stays large, since its labels are noisy, weighs less.

Each task has one number s, and its loss L counts as exp(-s) L + s, which is least at s = log L: so every task ends with a
weighted loss of about one. Source: Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses
for Scene Geometry and Semantics", section 3, for losses that are no squares."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LearnedWeights(nn.Module):
    """Begins with every task as it is."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.log_scale = nn.Parameter(torch.zeros(len(tasks)))

    def forward(self, task: str, loss: Float[Tensor, ""], share: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The weighted loss of a part of a step. share: of the step's targets that lie in this part; over all parts of the
        step they sum to one, so that cutting a step changes nothing."""
        s = self.log_scale[self.tasks.index(task)]
        weighted: Tensor = (-s).exp() * loss + s * share
        return weighted

    def told(self) -> dict[str, float]:
        """The weight of each task as it is now."""
        weights = (-self.log_scale.detach()).exp().tolist()
        return dict(zip(self.tasks, weights, strict=True))
