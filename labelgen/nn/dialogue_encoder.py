"""The dialogue encoder: a pre-norm Transformer over turns with relative positions.

Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture"; relative position biases as in
Raffel et al. 2020 (T5), clipped at a distance, so that a dialogue may be longer than any in training. Blocks start as the identity: Zhang et al.
2019, "Fixup Initialization"."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.nn.losses import NEVER

_REACH = 32
_ROWS = 1024
_NEAR = (-1, 1, -2)
_NEAR_BIAS = 3.0


class DialogueEncoder(nn.Module):
    """layers may be 0: each turn then stands for itself, which is the baseline without context."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, turns: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"] | None, causal: bool = False
    ) -> Float[Tensor, "B T D"]:
        """State of each turn in its dialogue. real: None where nothing is padded. causal: a turn sees no later one."""
        mask = self._mask(turns.shape[1], real, causal, turns.device)
        for block in self.blocks:
            turns = block(turns, mask)
        out: Tensor = self.norm(turns)
        return out

    @staticmethod
    def _mask(
        length: int, real: Bool[Tensor, "B T"] | None, causal: bool, device: torch.device
    ) -> Bool[Tensor, "b 1 t T"] | None:
        mask = None
        if real is not None:
            # A padded turn attends to itself only through the real ones; its state is never read.
            mask = real[:, None, None, :].expand(-1, 1, length, length)
        if causal:
            before = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
            mask = before if mask is None else mask & before
        return mask


class Block(nn.Module):
    """Attention, then a feed-forward layer, each on normalised input and added to it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.distance = nn.Parameter(_near(heads))
        self.feed_norm = nn.LayerNorm(width)
        last = nn.Linear(4 * width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), last)
        self.dropout = nn.Dropout(dropout)
        # A new block adds nothing: training starts from each turn alone and takes from the others what helps.
        for added in (self.attention_out, last):
            nn.init.zeros_(added.weight)
            nn.init.zeros_(added.bias)

    def forward(self, turns: Float[Tensor, "B T D"], mask: Bool[Tensor, "b 1 t T"] | None) -> Float[Tensor, "B T D"]:
        batch, length, width = turns.shape
        mixed = self.query_key_value(self.attention_norm(turns))
        # q, k, v: [B, heads, T, D / heads]
        q, k, v = mixed.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # In blocks of rows: scores of all pairs of 10,000 turns would be gigabytes.
        blocks = [self._attend(q, k, v, mask, start) for start in range(0, length, _ROWS)]
        seen = torch.cat(blocks, dim=2) if len(blocks) > 1 else blocks[0]
        turns = turns + self.dropout(self.attention_out(seen.transpose(1, 2).reshape(batch, length, width)))
        out: Tensor = turns + self.dropout(self.feed(self.feed_norm(turns)))
        return out

    def _attend(
        self,
        q: Float[Tensor, "B heads T d"],
        k: Float[Tensor, "B heads T d"],
        v: Float[Tensor, "B heads T d"],
        mask: Bool[Tensor, "b 1 t T"] | None,
        start: int,
    ) -> Float[Tensor, "B heads rows d"]:
        """What the turns from `start` on, _ROWS of them at most, see in all."""
        steps = torch.arange(q.shape[2], device=q.device)
        rows = slice(start, start + _ROWS)
        apart = (steps[None, :] - steps[rows, None]).clamp(-_REACH, _REACH) + _REACH
        bias = self.distance[:, apart].to(q.dtype)[None]
        if mask is not None:
            bias = bias.masked_fill(~mask[:, :, rows], NEVER)
        bias = bias.expand(q.shape[0], -1, -1, -1)
        return F.scaled_dot_product_attention(q[:, :, rows], k, v, attn_mask=bias)


def _near(heads: int) -> Float[Tensor, "heads distances"]:
    """Biases by distance of a new block: the first heads look one turn back, one ahead and two back, the others anywhere.
    What was just asked or answered says most about a turn, and few dialogues are enough to learn the rest."""
    bias = torch.zeros(heads, 2 * _REACH + 1)
    for head, step in zip(range(heads - 1), _NEAR, strict=False):
        bias[head, _REACH + step] = _NEAR_BIAS
    return bias
