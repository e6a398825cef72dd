"""The turn encoder: a pretrained text encoder over distinct passages, which come in groups of one exact token length; the cache of a
frozen one, and the check that a new one gives the vectors of transformers."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.base.errors import UsageError
from labelgen.features.layout import Passages
from labelgen.kernels.device import PACKED, can_pack, packed_positions, packing_of, reads_whole_passages, to_device
from labelgen.kernels.onnx import OnnxEncoder

MAX_BYTES = 2 * 2**30
"""Size of an EmbeddingCache."""
_TOKENS = 64
"""Tokens of a batch on a CPU, at least."""

Groups = Sequence[Int[Tensor, "_ _"]]
TokenStates = list[Float[Tensor, "_ _ d"]]
Encode = Callable[[Groups], TokenStates]
"""Token states of groups of passages; the passages of a group have one token length."""
Ids = tuple[int, ...]


def mean_pool(states: Float[Tensor, "n L d"]) -> Float[Tensor, "n d"]:
    """Mean of each passage's token states, in float32."""
    return states.mean(dim=1, dtype=torch.float32)


class EmbeddingCache:
    """Embeddings by a frozen encoder for training: pooled vectors of all passages, token states of requests only, in CPU memory.

    Models with the same frozen encoder may share a cache, and a copy of a model shares it. When the cache is full, new
    passages are encoded each time: evicting the oldest would evict all of them before the next epoch needs them."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._entries: dict[Ids, tuple[Tensor, Tensor | None]] = {}
        self._free_bytes = max_bytes

    def __deepcopy__(self, memo: object) -> "EmbeddingCache":
        return self

    def embed(
        self, passages: Passages, encode: Encode, with_tokens: bool
    ) -> tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]:
        """Same as `TurnEncoder.forward`, but token states of responses may be zeros. `encode` gets the passages that are missing."""
        device = passages.groups[0].device
        groups = [ids.tolist() for ids in passages.groups]
        keys: list[Ids] = [tuple(row) for rows in groups for row in rows]
        requests = set(passages.request.tolist()) if with_tokens else set()
        windows = [passages.long_texts[k - len(keys)].tolist() for k in requests if k >= len(keys)]
        requests = {k for k in requests if k < len(keys)}.union(*windows)
        wanted = {key for k, key in enumerate(keys) if not self._has(key, tokens=k in requests)}
        entries = {key: self._entries[key] for key in keys if key not in wanted}
        new_groups = [[row for row in rows if tuple(row) in wanted] for rows in groups]
        request_keys = {keys[k] for k in requests}
        # Tensors made in inference mode, as in validation, could not be used in training later.
        with torch.inference_mode(mode=False), torch.no_grad():
            for rows, states in _encoded([rows for rows in new_groups if rows], encode, device):
                # One copy from the device for many passages; then clones, because views would keep all of them in memory.
                pooled, tokens = mean_pool(states).cpu(), states.cpu() if with_tokens else None
                for k, key in enumerate(map(tuple, rows)):
                    of_request = tokens is not None and key in request_keys
                    entries[key] = (pooled[k].clone(), tokens[k].clone() if tokens is not None and of_request else None)
                    self._add(key, *entries[key])
        pooled = to_device(torch.stack([entries[key][0] for key in keys]), device)
        if not with_tokens:
            return pooled, None
        like = next(tokens for _, tokens in entries.values() if tokens is not None)
        zeros = like.new_zeros(max(map(len, keys)), like.shape[1])
        tokens_of = ((key, entries[key][1]) for key in keys)
        return pooled, to_device(torch.cat([zeros[: len(key)] if x is None else x for key, x in tokens_of]), device)

    def _has(self, key: Ids, tokens: bool) -> bool:
        entry = self._entries.get(key)
        return entry is not None and not (tokens and entry[1] is None)

    def _add(self, key: Ids, pooled: Tensor, tokens: Tensor | None) -> None:
        size = _bytes(pooled, tokens) - _bytes(*self._entries.get(key, ()))
        if size <= self._free_bytes:
            self._free_bytes -= size
            self._entries[key] = (pooled, tokens)


def _encoded(
    groups: Sequence[list[list[int]]], encode: Encode, device: torch.device
) -> Iterator[tuple[list[list[int]], Float[Tensor, "n L d"]]]:
    """Rows of token ids with their states.

    Encoders are not batch-invariant on a CPU, and a resumed training batches other passages together. So batches of one length always have
    the same number of passages there, filled up with copies, and states are bitwise identical."""
    if device.type != "cpu":
        tensors = [to_device(torch.tensor(rows), device) for rows in groups]
        yield from zip(groups, encode(tensors) if tensors else [], strict=True)
        return
    for rows in groups:
        size = -(-_TOKENS // len(rows[0]))
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            (states,) = encode([torch.tensor([*some, *some[:1] * (size - len(some))])])
            yield some, states[: len(some)]


def _bytes(*tensors: Tensor | None) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


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
    """Any `AutoModel` text encoder over passages, in padded batches of about equal lengths; packed on CUDA in 16 bits (kernels/device.py).

    Args:
        encoder: the model of transformers.
        width: size of its hidden states.
        frozen: no gradient reaches the encoder.

    Attributes:
        embedding_cache: for training with a frozen encoder, which passes over the same passages in each epoch."""

    def __init__(self, encoder: Any, width: int, frozen: bool) -> None:
        super().__init__()
        self.encoder: Any = encoder.requires_grad_(not frozen)
        use_fast_dropout(encoder)
        self.width = width
        self.frozen = frozen
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
        """Last hidden states of passages in groups of one exact length."""
        if self._onnx is not None and not torch.is_grad_enabled():
            return self._batched(groups, groups, BATCH_TOKENS, self._by_onnx)
        packs = can_pack(self.encoder)
        wanted = PACKED if packs else self._unpacked
        if self.encoder.config._attn_implementation != wanted:
            self.encoder.set_attn_implementation(wanted)
        padded = BATCH_TOKENS if groups[0].device.type == "cpu" else DEVICE_BATCH_TOKENS
        if not packs and not torch.is_grad_enabled():
            return self._batched(groups, groups, padded, self._padded)
        # One look-up for all ids: its gradient is as large as the vocabulary, and one for each group is slower on a CPU.
        embedded = _by_group(
            self.encoder.get_input_embeddings()(torch.cat([ids.reshape(-1) for ids in groups])), groups
        )
        if packs:
            return self._batched(groups, embedded, sys.maxsize, self._packed)
        return self._batched(groups, embedded, padded, self._padded)

    def _batched(
        self,
        groups: Sequence[Int[Tensor, "_ _"]],
        embedded: Sequence[Tensor],
        most: int,
        encode: Callable[[list[Tensor], list[Tensor]], list[Tensor]],
    ) -> list[Float[Tensor, "_ _ d"]]:
        """States by batches with at most so many tokens. encode: parts of groups, and `embedded` of them, to states."""
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
        """embedded: the embeddings, or the ids once more."""
        given = "inputs_embeds" if embedded[0].is_floating_point() else "input_ids"
        mask = _mask(ids) if len({part.shape[1] for part in ids}) > 1 else None
        if mask is not None and self._unpacked == "sdpa" and reads_whole_passages(self.encoder):
            # From the flat mask transformers would make this one, but read the device for it.
            mask = mask.bool()[:, None, None]
        return _unpad(self.encoder(**{given: _pad(embedded)}, attention_mask=mask).last_hidden_state, ids)

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


_SHORT = 16
_TOLERANCE = 1e-4
"""Of the largest number in the vectors; a wrong mask or position changes far more."""
_WHERE = "model.encoder"


def check_encoder(encoder: TurnEncoder, name: str, max_tokens: int) -> None:
    """Compare two passages, a short one and one of max_tokens, with transformers' eager attention.

    Raises UsageError for a decoder, and for an encoder with other vectors or without any."""
    config = encoder.encoder.config
    kind = f"{name} ({config.model_type})"
    hint = "choose an encoder such as RoBERTa, BERT, DeBERTa-v3 or ModernBERT"
    if getattr(config, "is_encoder_decoder", False):
        raise UsageError(f"{kind} is an encoder with a decoder, not a text encoder", _WHERE, hint)
    groups = [_token_ids(config, length) for length in dict.fromkeys((min(_SHORT, max_tokens), max_tokens))]
    implementation = config._attn_implementation
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            states = encoder.states(groups)
            encoder.encoder.set_attn_implementation("eager")
            expected = [encoder.encoder(input_ids=ids).last_hidden_state for ids in groups]
            changed = groups[-1].clone()
            changed[:, -1] = groups[-1][:, 0]
            causal = max_tokens > 1 and torch.equal(
                encoder.encoder(input_ids=changed).last_hidden_state[:, :-1], expected[-1][:, :-1]
            )
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, IndexError) as error:
        raise UsageError(f"{kind} cannot encode passages: {error}", _WHERE, hint) from error
    finally:
        encoder.encoder.set_attn_implementation(implementation)
        encoder.train(training)
    if causal:
        raise UsageError(f"{kind} is a decoder: its tokens do not attend to later tokens", _WHERE, hint)
    for ids, own, other in zip(groups, states, expected, strict=True):
        difference = float((own - other).abs().max() / other.abs().max().clamp(min=torch.finfo(other.dtype).tiny))
        if not math.isfinite(difference) or difference > _TOLERANCE:
            what = f"labelgen computes other vectors of {ids.shape[1]} tokens than transformers with {kind}"
            raise UsageError(f"{what}: the relative difference is {difference:.3g}", _WHERE, hint)


def _token_ids(config: Any, length: int) -> Int[Tensor, "1 length"]:
    """Different ids of the vocabulary, without the padding id, from which RoBERTa computes positions."""
    ids = torch.arange(3, 3 + length) * 7 % config.vocab_size
    padding = getattr(config, "pad_token_id", None)
    return ids[None] if padding is None else torch.where(ids == padding, (ids + 1) % config.vocab_size, ids)[None]
