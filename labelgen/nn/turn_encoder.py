"""The turn encoder: a pretrained text encoder over distinct passages, which come in groups of one exact token length."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from labelgen.features.layout import Passages
from labelgen.kernels.device import to_device
from labelgen.kernels.onnx import OnnxEncoder
from labelgen.kernels.packed import PACKED, can_pack, packed_positions, packing_of, reads_whole_passages
from labelgen.nn.embedding_cache import EmbeddingCache, mean_pool

BATCH_TOKENS = 1024
"""Tokens of a padded batch on a CPU: few enough that activations stay in its cache."""
DEVICE_BATCH_TOKENS = 16 * BATCH_TOKENS
"""The same on other devices, which need more work for each launch of a kernel."""
_DROPOUT_STEPS = 2**16


class FastDropout(nn.Dropout):
    """Dropout that draws fewer random numbers on a CPU, where torch draws one number for each element.

    Four elements share 64 random bits of torch's generator, so p is rounded to a 65,536th. What stays is scaled by
    1 / (1 - p). On other devices this is torch's dropout."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        drop = round(self.p * _DROPOUT_STEPS)
        if not self.training or not 0 < drop < _DROPOUT_STEPS or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        draws = bits.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (draws >= drop - _DROPOUT_STEPS // 2).to(x.dtype).mul_(_DROPOUT_STEPS / (_DROPOUT_STEPS - drop))


def use_fast_dropout(module: nn.Module) -> None:
    """Replace every nn.Dropout of a module by FastDropout, in place."""
    for part in module.modules():
        for name, child in part.named_children():
            if type(child) is nn.Dropout:
                setattr(part, name, FastDropout(child.p))


class TurnEncoder(nn.Module):
    """Any `AutoModel` text encoder over passages, in padded batches of about equal lengths; packed on CUDA in 16 bits (kernels/packed.py).

    Args:
        encoder: the model of transformers.
        width: size of its hidden states.
        frozen: no gradient reaches the encoder.

    Attributes:
        embedding_cache: for training with a frozen encoder, which passes over the same passages in each epoch.
        chunk_tokens: tokens that pass the encoder's layers at once in training; None for all of a batch."""

    def __init__(self, encoder: Any, width: int, frozen: bool) -> None:
        super().__init__()
        self.encoder: Any = encoder.requires_grad_(not frozen)
        use_fast_dropout(encoder)
        self.width = width
        self.frozen = frozen
        self.chunk_tokens: int | None = None
        self.embedding_cache: EmbeddingCache | None = None
        self._unpacked = encoder.config._attn_implementation
        self._onnx: OnnxEncoder | None = None

    def use_onnx(self, int8: bool) -> None:
        """Compute with a copy of the weights in ONNX Runtime where no gradient is needed; training undoes it.

        Raises UsageError if that is not possible."""
        self._onnx = OnnxEncoder(self.encoder, int8)

    def train(self, mode: bool = True) -> "TurnEncoder":
        super().train(mode)
        if mode:
            self._onnx = None
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(
        self, passages: Passages, with_tokens: bool
    ) -> tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]:
        """Pooled vector of each passage, then of each long text, and, if `with_tokens`, the states of all tokens in the order of
        the groups."""
        pooled, tokens = self._passages(passages, with_tokens)
        if not passages.long_texts:
            return pooled, tokens
        lengths = torch.tensor([length for count, length in passages.shapes for _ in range(count)])
        lengths = to_device(lengths, pooled.device)
        texts = [_mean_of_windows(pooled[rows], lengths[rows]) for rows in passages.long_texts]
        return torch.cat([pooled, torch.stack(texts)]), tokens

    def _passages(
        self, passages: Passages, with_tokens: bool
    ) -> tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]:
        if self.embedding_cache is not None:
            return self.embedding_cache.embed(passages, self.states, with_tokens)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            states = self.states(passages.groups)
            pooled = torch.cat([mean_pool(x) for x in states])
            return pooled, torch.cat([x.reshape(-1, self.width) for x in states]) if with_tokens else None

    def states(self, groups: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
        """Last hidden states of passages in groups of one exact length.

        With chunk_tokens, the backward pass computes each batch again, with the same dropout (gradient checkpointing).
        Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"."""
        if self._onnx is not None and not torch.is_grad_enabled():
            return self._batched(groups, groups, BATCH_TOKENS, self._by_onnx)
        # One look-up for all ids: its gradient is as large as the vocabulary, and one for each group is slower on a CPU.
        embedded = self.encoder.get_input_embeddings()(torch.cat([ids.reshape(-1) for ids in groups]))
        packs = can_pack(self.encoder)
        wanted = PACKED if packs else self._unpacked
        if self.encoder.config._attn_implementation != wanted:
            self.encoder.set_attn_implementation(wanted)
        encode = self._packed if packs else self._padded
        padded = BATCH_TOKENS if embedded.device.type == "cpu" else DEVICE_BATCH_TOKENS
        most = sys.maxsize if packs else padded
        if self.chunk_tokens is not None and torch.is_grad_enabled():
            most, encode = min(most, self.chunk_tokens), partial(checkpoint, encode, use_reentrant=False)
        return self._batched(groups, _by_group(embedded, groups), most, encode)

    def _batched(
        self,
        groups: Sequence[Int[Tensor, "_ _"]],
        embedded: Sequence[Tensor],
        most: int,
        encode: Callable[[list[Tensor], list[Tensor]], list[Tensor]],
    ) -> list[Float[Tensor, "_ _ d"]]:
        """States by batches with at most so many tokens. encode: parts of groups and their embeddings to states."""
        out: list[list[Tensor]] = [[] for _ in groups]
        for batch in _batches([(len(ids), ids.shape[1]) for ids in groups], most):
            states = encode([groups[k][run] for k, run in batch], [embedded[k][run] for k, run in batch])
            for (k, _), part in zip(batch, states, strict=True):
                out[k].append(part)
        return [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in out]

    def _by_onnx(self, ids: list[Tensor], embedded: list[Tensor]) -> list[Tensor]:
        assert self._onnx is not None
        return _unpad(self._onnx(_pad(ids), _mask(ids)), ids)

    def _padded(self, ids: list[Tensor], embedded: list[Tensor]) -> list[Tensor]:
        mask = _mask(ids) if len({part.shape[1] for part in ids}) > 1 else None
        if mask is not None and self._unpacked == "sdpa" and reads_whole_passages(self.encoder):
            # From the flat mask transformers would make this one, but read the device for it.
            mask = mask.bool()[:, None, None]
        return _unpad(self.encoder(inputs_embeds=_pad(embedded), attention_mask=mask).last_hidden_state, ids)

    def _packed(self, ids: list[Tensor], embedded: list[Tensor]) -> list[Tensor]:
        row = torch.cat([part.reshape(-1, part.shape[-1]) for part in embedded])[None]
        out = self.encoder(inputs_embeds=row, position_ids=packed_positions(self.encoder, ids), packing=packing_of(ids))
        return _by_group(out.last_hidden_state[0], ids)


def _batches(shapes: Sequence[tuple[int, int]], most: int) -> list[list[tuple[int, slice]]]:
    """Parts of groups, which are sorted by length, in batches with at most so many tokens, padding included; a longer passage is a
    batch of its own.

    Args:
        shapes: number of passages and length of each group.

    Returns: for each batch the number of each group and its passages."""
    batches: list[list[tuple[int, slice]]] = []
    count, longest = most, 0
    for k, (passages, length) in enumerate(shapes):
        start = 0
        longest = max(longest, length)
        while start < passages:
            room = most // longest - count
            if room < 1:
                batches.append([])
                count, longest = 0, length
                room = max(1, most // length)
            end = min(passages, start + room)
            batches[-1].append((k, slice(start, end)))
            count += end - start
            start = end
    return batches


def _pad(parts: Sequence[Tensor]) -> Tensor:
    """Parts of groups as one tensor, padded with zeros to the longest passage."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, 0) * (part.dim() - 2) + (0, longest - part.shape[1])) for part in parts])


def _mask(parts: Sequence[Int[Tensor, "_ _"]]) -> Int[Tensor, "n L"]:
    """Attention mask of padded passages: 1 for real tokens."""
    return _pad([torch.ones_like(part) for part in parts])


def _unpad(states: Float[Tensor, "n L d"], parts: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
    rows = torch.split_with_sizes(states, [len(part) for part in parts])
    return [x[:, : part.shape[1]] for x, part in zip(rows, parts, strict=True)]


def _mean_of_windows(pooled: Float[Tensor, "w d"], lengths: Int[Tensor, " w"]) -> Float[Tensor, " d"]:
    """Mean of a long text's token states, from the means of its windows."""
    weights = lengths.to(pooled.dtype) / lengths.sum()
    return (pooled * weights[:, None]).sum(dim=0)


def _by_group(tokens: Float[Tensor, "tokens d"], groups: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
    parts = torch.split_with_sizes(tokens, [ids.numel() for ids in groups])
    return [x.view(*ids.shape, -1) for x, ids in zip(parts, groups, strict=True)]


def pool_texts(encoder: TurnEncoder, texts: Sequence[tuple[int, ...]]) -> Float[Tensor, "K d"]:
    """Pooled vectors of tokenized texts, such as those of labels, without gradient and in evaluation mode."""
    device = next(encoder.parameters()).device
    if not texts:
        return torch.zeros(0, encoder.width, device=device)
    by_length: dict[int, list[int]] = {}
    for k, ids in enumerate(texts):
        by_length.setdefault(len(ids), []).append(k)
    places = [by_length[length] for length in sorted(by_length)]
    groups = [to_device(torch.tensor([texts[k] for k in rows]), device) for rows in places]
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        pooled = torch.cat([mean_pool(states) for states in encoder.states(groups)])
    encoder.train(training)
    order = torch.tensor([k for rows in places for k in rows])
    return pooled[to_device(order.argsort(), device)]
