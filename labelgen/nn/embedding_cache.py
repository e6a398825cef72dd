"""Embedding cache for training with a frozen encoder: a passage is encoded once, not once an epoch."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelgen.features.layout import Passages

MAX_BYTES = 2 * 2**30
"""Size of an EmbeddingCache."""

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
        keys: list[Ids] = [tuple(row) for ids in passages.groups for row in ids.tolist()]
        requests = set(passages.request.tolist()) if with_tokens else set()
        windows = [passages.long_texts[k - len(keys)].tolist() for k in requests if k >= len(keys)]
        requests = {k for k in requests if k < len(keys)}.union(*windows)
        missing = [not self._has(key, tokens=k in requests) for k, key in enumerate(keys)]
        entries = {key: self._entries[key] for key, new in zip(keys, missing, strict=True) if not new}
        rows = torch.split(torch.tensor(missing, device=device), [len(ids) for ids in passages.groups])
        groups = [ids[new] for ids, new in zip(passages.groups, rows, strict=True) if bool(new.any())]
        request_keys = {keys[k] for k in requests}
        # Tensors made in inference mode, as in validation, could not be used in training later.
        with torch.inference_mode(mode=False), torch.no_grad():
            for ids, states in zip(groups, encode(groups) if groups else [], strict=True):
                for key, vector, tokens in zip(map(tuple, ids.tolist()), mean_pool(states), states, strict=True):
                    entries[key] = (vector, tokens if key in request_keys else None)
                    self._add(key, *entries[key])
        pooled = torch.stack([entries[key][0].to(device) for key in keys])
        if not with_tokens:
            return pooled, None
        like = next(tokens for _, tokens in entries.values() if tokens is not None)
        zeros = like.new_zeros(max(map(len, keys)), like.shape[1], device=device)
        tokens_of = ((key, entries[key][1]) for key in keys)
        return pooled, torch.cat([zeros[: len(key)] if x is None else x.to(device) for key, x in tokens_of])

    def _has(self, key: Ids, tokens: bool) -> bool:
        entry = self._entries.get(key)
        return entry is not None and not (tokens and entry[1] is None)

    def _add(self, key: Ids, pooled: Tensor, tokens: Tensor | None) -> None:
        size = _bytes(pooled, tokens) - _bytes(*self._entries.get(key, ()))
        if size <= self._free_bytes:
            self._free_bytes -= size
            # Clones, because views would keep the whole batch in memory.
            self._entries[key] = (pooled.cpu().clone(), None if tokens is None else tokens.cpu().clone())


def _bytes(*tensors: Tensor | None) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
