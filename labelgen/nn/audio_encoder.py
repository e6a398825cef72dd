"""A small convolutional encoder of a turn's sound, trained from scratch."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class AudioEncoder(nn.Module):
    """Log-mel frames to one vector a turn: three strided convolutions over time, then the mean and the maximum.

    Sounds of one exact length come together, and each is encoded on its own: a convolution rounds differently with
    others beside it (measured: most values of a vector change in the last bits), and lengths hardly ever agree."""

    def __init__(self, mels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(mels if k == 0 else width, width, kernel_size=5, stride=2, padding=2) for k in range(3)
        )
        self.out = nn.Linear(2 * width, width)

    def forward(self, frames: Float[Tensor, "n frames mels"]) -> Float[Tensor, "n width"]:
        return torch.cat([self._one(sound[None].clone()) for sound in frames])

    def _one(self, frames: Float[Tensor, "1 frames mels"]) -> Float[Tensor, "1 width"]:
        hidden = frames.transpose(1, 2)
        for layer in self.layers:
            hidden = F.gelu(layer(hidden))
        pooled: Tensor = self.out(torch.cat([hidden.mean(dim=2), hidden.amax(dim=2)], dim=1))
        return pooled
