"""The dialogue encoder: a pre-norm Transformer over turns with relative positions, each layer within a band.

Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture"; relative position biases as in
Raffel et al. 2020 (T5), clipped at a distance, so that a dialogue may be longer than any in training; the band of Beltagy et
al. 2020, "Longformer: The Long-Document Transformer". Blocks start as the identity: Zhang et al. 2019, "Fixup
Initialization"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.nn.losses import NEVER

_REACH = 32
_WINDOW = 512
"""Turns whose attention is computed at once, with a band of keys on both sides. Time and memory are linear in the turns, and
the result equals one pass up to rounding."""
_NEAR = (-1, 1, -2)
_NEAR_BIAS = 3.0


@dataclass(frozen=True, slots=True)
class _AttentionWindow:
    """Queries and keys of one window. rows: the querying turns. keys: turns that some of them see. mask: attention mask; None if
    each sees all."""

    rows: slice
    keys: slice
    mask: Bool[Tensor, "b 1 rows keys"] | None


class DialogueEncoder(nn.Module):
    """Transformer encoder over turns with local attention.

    Args:
        layers: number of layers; 0 is the baseline without context.
        band: turns before and after it that a turn sees in each layer; its receptive field is `layers` times as large."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float, band: int) -> None:
        super().__init__()
        self.band = band
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, turns: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"] | None, causal: bool = False
    ) -> Float[Tensor, "B T D"]:
        """State of each turn in its dialogue.

        Args:
            real: attention mask of the padded grid; None if nothing is padded.
            causal: turns see no later turns."""
        windows = tuple(self._windows(turns.shape[1], real, causal, turns.device))
        for block in self.blocks:
            turns = block(turns, windows)
        out: Tensor = self.norm(turns)
        return out

    def _windows(
        self, length: int, real: Bool[Tensor, "B T"] | None, causal: bool, device: torch.device
    ) -> Iterator[_AttentionWindow]:
        for start in range(0, length, _WINDOW):
            end = min(start + _WINDOW, length)
            first, last = max(0, start - self.band), end if causal else min(length, end + self.band)
            ahead = torch.arange(first, last, device=device) - torch.arange(start, end, device=device)[:, None]
            mask = None
            if last - first > self.band + 1 or causal:
                mask = (ahead.abs() <= self.band)[None, None]
                if causal:
                    mask = mask & (ahead <= 0)
            if real is not None:
                # A padded turn attends to real turns; its state is never read.
                seen = real[:, None, None, first:last].expand(-1, 1, end - start, -1)
                mask = seen if mask is None else mask & seen
            yield _AttentionWindow(slice(start, end), slice(first, last), mask)


class Block(nn.Module):
    """Pre-norm Transformer block: attention, then a feed-forward layer, both residual."""

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
        # A new block is the identity, so training starts from turns without context.
        for added in (self.attention_out, last):
            nn.init.zeros_(added.weight)
            nn.init.zeros_(added.bias)

    def forward(self, turns: Float[Tensor, "B T D"], windows: Sequence[_AttentionWindow]) -> Float[Tensor, "B T D"]:
        batch, length, width = turns.shape
        mixed = self.query_key_value(self.attention_norm(turns))
        # q, k, v: [B, heads, T, D / heads]
        q, k, v = mixed.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        parts = [self._attend(q[:, :, w.rows], k[:, :, w.keys], v[:, :, w.keys], w) for w in windows]
        seen = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        turns = turns + self.dropout(self.attention_out(seen.transpose(1, 2).reshape(batch, length, width)))
        out: Tensor = turns + self.dropout(self.feed(self.feed_norm(turns)))
        return out

    def _attend(
        self,
        q: Float[Tensor, "B heads rows d"],
        k: Float[Tensor, "B heads keys d"],
        v: Float[Tensor, "B heads keys d"],
        window: _AttentionWindow,
    ) -> Float[Tensor, "B heads rows d"]:
        rows = torch.arange(window.rows.start, window.rows.stop, device=q.device)
        keys = torch.arange(window.keys.start, window.keys.stop, device=q.device)
        distances = (keys[None, :] - rows[:, None]).clamp(-_REACH, _REACH) + _REACH
        bias = self.distance[:, distances].to(q.dtype)[None]
        if window.mask is not None:
            bias = bias.masked_fill(~window.mask, NEVER)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(q.shape[0], -1, -1, -1))


def _near(heads: int) -> Float[Tensor, "heads distances"]:
    """Initial relative position biases: the first heads attend to the previous turn, the next and the one before the previous;
    the others attend everywhere. Neighboring turns are the most informative, so small data sets are enough to learn the rest."""
    bias = torch.zeros(heads, 2 * _REACH + 1)
    for head, step in zip(range(heads - 1), _NEAR, strict=False):
        bias[head, _REACH + step] = _NEAR_BIAS
    return bias
