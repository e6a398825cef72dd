"""Dropout with fewer random numbers: torch's own draws one at a time on a CPU, and takes longer over it than the norms do."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_STEPS = 2**16


class QuickDropout(nn.Dropout):
    """Drops with probability p, rounded to a 65,536th, and scales what stays by 1 / (1 - p). On a CPU four places share
    64 random bits of torch's own generator; elsewhere it is torch's dropout."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        drop = round(self.p * _STEPS)
        if not self.training or not 0 < drop < _STEPS or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        places = bits.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (places >= drop - _STEPS // 2).to(x.dtype).mul_(_STEPS / (_STEPS - drop))


def quicken(module: nn.Module) -> None:
    """Puts QuickDropout in the place of every dropout of a module."""
    for part in module.modules():
        for name, child in part.named_children():
            if type(child) is nn.Dropout:
                setattr(part, name, QuickDropout(child.p))
