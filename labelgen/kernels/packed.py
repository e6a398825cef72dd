"""Packed attention: passages are concatenated in one row, and each attends only to itself.

Everything that works token by token (products, norms, dropout) runs once over all tokens of a batch. Only attention runs
for each group of passages with one exact length. Nothing is padded, and results are bitwise those of one pass a group.
Source: the packing of Krell et al. 2021, "Efficient Sequence
Packing without Cross-contamination"."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

PACKED = "labelgen_packed"
"""Name of this attention implementation in transformers."""


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "1 heads tokens h"],
    key: Float[Tensor, "1 heads tokens h"],
    value: Float[Tensor, "1 heads tokens h"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    passages: Sequence[tuple[int, int]] = (),
    **unused: Any,
) -> tuple[Float[Tensor, "1 tokens heads h"], None]:
    """passages: number and token length of each group, in the order of the tokens."""
    heads, width = query.shape[1], query.shape[3]
    attend = plain_attention if query.requires_grad and query.device.type == "cpu" else F.scaled_dot_product_attention
    # Split, not sliced: the gradient of a slice is as large as the whole row, one for each group.
    sizes = [count * length for count, length in passages]
    parts = [torch.split_with_sizes(x[0], sizes, dim=1) for x in (query, key, value)]
    out = []
    for (count, length), *group in zip(passages, *parts, strict=True):
        q, k, v = (x.view(heads, count, length, width).transpose(0, 1) for x in group)
        seen = attend(q, k, v, dropout_p=dropout, scale=scaling)
        out.append(seen.transpose(1, 2).reshape(count * length, heads, width))
    return torch.cat(out)[None], None


def plain_attention(
    query: Float[Tensor, "n heads L h"],
    key: Float[Tensor, "n heads L h"],
    value: Float[Tensor, "n heads L h"],
    dropout_p: float,
    scale: float | None,
) -> Float[Tensor, "n heads L h"]:
    """Attention as plain matrix products. On a CPU the backward pass of torch's kernel is made for long texts; on short ones it
    takes longer than all products of the layer (docs/explanation/decisions.md)."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    weights = torch.matmul(query * scale, key.transpose(-1, -2)).softmax(dim=-1)
    return torch.matmul(F.dropout(weights, dropout_p), value)


def packed_positions(encoder: Any, groups: Sequence[Int[Tensor, "_ _"]]) -> Int[Tensor, "1 tokens"]:
    """Position ids of the tokens in their passages; RoBERTa-like encoders start after the padding id."""
    embeddings: Any = getattr(encoder, "embeddings", None)
    first = embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_inputs_embeds") else 0
    rows = [torch.arange(first, first + ids.shape[1], device=ids.device).repeat(ids.shape[0]) for ids in groups]
    return torch.cat(rows)[None]
