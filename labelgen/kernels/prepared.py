"""A fast text encoder for labeling on one CPU core: BERT, RoBERTa and similar ones, without gradients.

It computes the same function as transformers. Weights are copied once into oneDNN's format, the query, key and value
products are fused, and so are GELU and the residual sums. Passages of all lengths are packed into one row with a bounded
number of tokens, and attention runs for each length, so the encoder is batch-invariant (tests/kernels/test_prepared.py).
Source: Devlin et al. 2019, "BERT"; the operators are those that torch's own compiler calls."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelgen.kernels.batch_invariant import Product, has_onednn
from labelgen.kernels.int8 import Int8Product
from labelgen.kernels.packed import packed_positions

TOKENS = 512
"""Tokens that pass through the layers at once: few enough that activations stay in the CPU cache. Smaller batches are padded,
so that each product has the same number of rows; oneDNN would also compile and cache a kernel for each other number."""

_KNOWN = ("bert", "roberta", "xlm-roberta", "camembert")

Rows = Float[Tensor, "tokens d"]
Wide = Float[Tensor, "tokens _"]


def can_prepare(encoder: Any, precision: torch.dtype) -> bool:
    """Whether the architecture is supported and oneDNN has kernels for this CPU and precision."""
    config = encoder.config
    return (
        config.model_type in _KNOWN
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
        and next(encoder.parameters()).device.type == "cpu"
        and has_onednn(precision)
        # Adapters of a training that goes on are not in the weights.
        and not any(hasattr(part, "base_layer") for part in encoder.modules())
    )


class PreparedEncoder:
    """The prepared encoder; it copies the current weights. precision: of weights and activations, float32 or bfloat16; with int8,
    activations between the products are float32."""

    def __init__(self, encoder: Any, precision: torch.dtype) -> None:
        config, embeddings = encoder.config, encoder.embeddings
        self._encoder = encoder
        self._heads = config.num_attention_heads
        self._words = embeddings.word_embeddings.weight.detach()
        self._places = (
            embeddings.position_embeddings.weight.detach() + embeddings.token_type_embeddings.weight[0].detach()
        )
        self._between = _activation_dtype(precision)
        self._norm = _Norm(embeddings.LayerNorm, torch.float32)
        self._layers = [_PreparedLayer(layer, self._heads, precision) for layer in encoder.encoder.layer]

    def __call__(self, groups: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
        """Last hidden states of passages in groups of one exact length."""
        out: list[list[Tensor]] = [[] for _ in groups]
        for batch in _batches(groups):
            rows = self._rows([ids for _, ids in batch])
            for (k, ids), states in zip(
                batch, torch.split_with_sizes(rows, [ids.numel() for _, ids in batch]), strict=True
            ):
                out[k].append(states.view(*ids.shape, -1))
        return [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in out]

    def _rows(self, groups: Sequence[Int[Tensor, "_ _"]]) -> Rows:
        count = sum(ids.numel() for ids in groups)
        ids = torch.cat([ids.reshape(-1) for ids in groups])
        places = packed_positions(self._encoder, groups)[0]
        fill = (0, -count % TOKENS)
        rows = F.embedding(F.pad(ids, fill), self._words) + F.embedding(F.pad(places, fill), self._places)
        rows = self._norm(rows).to(self._between)
        passages = [tuple(ids.shape) for ids in groups]
        for layer in self._layers:
            rows = layer(rows, passages)
        return rows[:count]


class _PreparedLayer:
    """A post-norm Transformer layer."""

    def __init__(self, layer: Any, heads: int, precision: torch.dtype) -> None:
        attention, after = layer.attention.self, layer.attention.output
        self._heads = heads
        self._mix = _product([attention.query, attention.key, attention.value], precision)
        self._out = _product([after.dense], precision)
        self._norm = _Norm(after.LayerNorm, _activation_dtype(precision))
        self._wide = _product([layer.intermediate.dense], precision)
        self._narrow = _product([layer.output.dense], precision)
        self._last_norm = _Norm(layer.output.LayerNorm, _activation_dtype(precision))

    def __call__(self, rows: Rows, passages: Sequence[tuple[int, ...]]) -> Rows:
        rows = self._norm(self._out.added(self._attend(self._mix(rows), passages), rows))
        return self._last_norm(self._narrow.added(self._wide.gelu(rows), rows))

    def _attend(self, mixed: Wide, passages: Sequence[tuple[int, ...]]) -> Wide:
        sizes = [count * length for count, length in passages]
        fill = len(mixed) - sum(sizes)
        *parts, _ = torch.split_with_sizes(mixed, [*sizes, fill])
        seen = []
        for (count, length), part in zip(passages, parts, strict=True):
            q, k, v = part.view(count, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            seen.append(_attention(q, k, v).transpose(1, 2).reshape(count * length, -1))
        if fill:
            seen.append(mixed.new_zeros(fill, mixed.shape[1] // 3))
        return torch.cat(seen) if len(seen) > 1 else seen[0]


def _attention(
    q: Float[Tensor, "n heads L h"], k: Float[Tensor, "n heads L h"], v: Float[Tensor, "n heads L h"]
) -> Float[Tensor, "n heads L h"]:
    """Attention as plain products, because torch's kernel is made for long texts. Keys are the first axis of the scores: a
    softmax over a short last axis takes twice as long (docs/explanation/decisions.md)."""
    count, heads, length, width = q.shape
    q, k, v = (x.reshape(count * heads, length, width) for x in (q, k, v))
    scores = torch.baddbmm(q.new_zeros(1), k, q.transpose(1, 2), beta=0, alpha=width**-0.5)
    return torch.bmm(scores.softmax(dim=1).transpose(1, 2), v).view(count, heads, length, width)


def _activation_dtype(precision: torch.dtype) -> torch.dtype:
    return torch.float32 if precision == torch.int8 else precision


def _product(maps: Sequence[Any], precision: torch.dtype) -> Product | Int8Product:
    """Several linear maps of one input as one product."""
    weight = torch.cat([each.weight.detach() for each in maps])
    bias = torch.cat([each.bias.detach() for each in maps])
    if precision == torch.int8:
        return Int8Product(weight, bias)
    return Product(weight.to(precision), bias.to(precision), TOKENS)


class _Norm:
    def __init__(self, norm: Any, precision: torch.dtype) -> None:
        self._weight, self._bias = norm.weight.detach().to(precision), norm.bias.detach().to(precision)
        self._eps = norm.eps

    def __call__(self, rows: Rows) -> Rows:
        return F.layer_norm(rows, (rows.shape[-1],), self._weight, self._bias, self._eps)


def _batches(groups: Sequence[Int[Tensor, "_ _"]]) -> list[list[tuple[int, Int[Tensor, "_ _"]]]]:
    """Batches of whole passages with at most TOKENS tokens, each part with the index of its group. A longer passage is a batch of
    its own."""
    batches: list[list[tuple[int, Tensor]]] = []
    room = 0
    for k, ids in enumerate(groups):
        count, length = ids.shape
        start = 0
        while start < count:
            if room < length:
                batches.append([])
                room = TOKENS
            end = min(count, start + max(1, room // length))
            batches[-1].append((k, ids[start:end]))
            room -= (end - start) * length
            start = end
    return batches
