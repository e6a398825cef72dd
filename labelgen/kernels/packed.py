"""Packed attention: passages are concatenated in one row, and each attends only to itself.

Everything that works token by token (products, norms, dropout) runs once over all tokens of a batch. Nothing is padded.
On CUDA in 16 bits, attention is one call of a variable-length kernel. Elsewhere it runs for each group of passages with one exact
length, and results are bitwise those of one pass a group.

Sources: the packing of Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination"; the kernel of Dao
2023, "FlashAttention-2"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn

from labelgen.kernels.transfer import to_device

PACKED = "labelgen_packed"
"""Name of this attention implementation in transformers."""
_FLASH_CAPABILITY = (8, 0)
"""First compute capability that FlashAttention-2 runs on: NVIDIA's Ampere."""
_FLASH_WIDTHS = range(8, 257, 8)
"""Widths of a head that FlashAttention-2 supports."""


@dataclass(frozen=True)
class Packing:
    """Passages of a row of tokens.

    Attributes:
        groups: number and token length of each group of passages, in the order of the tokens.
        offsets: first token of each passage, then the number of all tokens."""

    groups: tuple[tuple[int, int], ...]
    offsets: Int[Tensor, " passages_and_1"]

    @property
    def longest(self) -> int:
        """Tokens of the longest passage."""
        return max(length for _, length in self.groups)


def packing_of(groups: Sequence[Int[Tensor, "_ _"]]) -> Packing:
    """Packing of passages in groups of one length. Made once for all layers, from shapes alone, so without reading the device."""
    shapes = tuple((ids.shape[0], ids.shape[1]) for ids in groups)
    lengths = [0, *(length for count, length in shapes for _ in range(count))]
    offsets = torch.tensor(lengths).cumsum(0, dtype=torch.int32)
    return Packing(shapes, to_device(offsets, groups[0].device))


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "1 heads tokens h"],
    key: Float[Tensor, "1 kv_heads tokens h"],
    value: Float[Tensor, "1 kv_heads tokens h"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: Packing | None = None,
    **unused: Any,
) -> tuple[Float[Tensor, "1 tokens heads h"], None]:
    """Attention of transformers' layers. With fewer heads of keys than of queries, each serves several of them (grouped queries)."""
    assert packing is not None
    heads, width = query.shape[1], query.shape[3]
    dtype = _autocast_dtype(query)
    # The kernel has no dropout. Models are built without attention dropout, so this only sends other callers to the loop.
    if not dropout and _has_kernel(query, dtype):
        q, k, v = (x.squeeze(0).transpose(0, 1).to(dtype) for x in (query, key, value))
        ends, longest = packing.offsets, packing.longest
        seen = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling, enable_gqa=key.shape[1] < heads)
        assert isinstance(seen, Tensor)
        return seen.unsqueeze(0), None
    if key.shape[1] < heads:
        key, value = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (key, value))
    attend: Callable[..., Tensor] = partial(F.scaled_dot_product_attention, scale=scaling)
    if query.requires_grad and query.device.type == "cpu":
        attend, query = plain_attention, query * (width**-0.5 if scaling is None else scaling)
    # Split, not sliced: the gradient of a slice is as large as the whole row, one for each group.
    sizes = [count * length for count, length in packing.groups]
    parts = [torch.split_with_sizes(x.squeeze(0), sizes, dim=1) for x in (query, key, value)]
    out = []
    for (count, length), *group in zip(packing.groups, *parts, strict=True):
        q, k, v = (x.view(heads, count, length, width).transpose(0, 1) for x in group)
        seen = attend(q, k, v, dropout_p=dropout)
        out.append(seen.transpose(1, 2).reshape(count * length, heads, width))
    return torch.cat(out).unsqueeze(0), None


def _autocast_dtype(rows: Tensor) -> torch.dtype:
    """The dtype that torch's own attention would compute in."""
    kind = rows.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return rows.dtype


def _has_kernel(query: Tensor, dtype: torch.dtype) -> bool:
    """Whether the variable-length kernel computes these queries in this dtype."""
    fits = dtype in (torch.bfloat16, torch.float16) and query.shape[3] in _FLASH_WIDTHS
    return fits and _has_flash_attention(query.device)


@cache
def _has_flash_attention(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY


def plain_attention(
    query: Float[Tensor, "n heads L h"],
    key: Float[Tensor, "n heads L h"],
    value: Float[Tensor, "n heads L h"],
    dropout_p: float,
) -> Float[Tensor, "n heads L h"]:
    """Attention as plain matrix products; queries are scaled before, all groups at once. On a CPU the backward pass of torch's kernel is made for long texts; on short ones it
    takes longer than all products of the layer (docs/explanation/decisions.md)."""
    weights = torch.matmul(query, key.transpose(-1, -2)).softmax(dim=-1)
    return torch.matmul(F.dropout(weights, dropout_p), value)


def packed_positions(encoder: Any, groups: Sequence[Int[Tensor, "_ _"]]) -> Int[Tensor, "1 tokens"]:
    """Position ids of the tokens in their passages; RoBERTa-like encoders start after the padding id."""
    embeddings: Any = getattr(encoder, "embeddings", None)
    first = embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_inputs_embeds") else 0
    rows = [torch.arange(first, first + ids.shape[1]).repeat(ids.shape[0]) for ids in groups]
    return to_device(torch.cat(rows)[None], groups[0].device)
