"""Embedding caches: a passage that occurs again is encoded once.

The encoder is batch-invariant, so a passage's states depend on the passage alone and a cache changes no bit of a result.
`EmbeddingCache` serves training with a frozen encoder, `TokenStateCache` serves labeling."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelgen.features.layout import Passages

MAX_BYTES = 2 * 2**30
"""Size of an EmbeddingCache."""
MAX_TOKENS = 32_768
"""Tokens whose states a TokenStateCache keeps for later shards: 50 MB at a width of 384 in float32."""

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


class TokenStateCache:
    """Token states of passages that are announced to repeat, first in first out.

    All states share one tensor with a row for each token. Many small tensors would each keep the memory around them in use,
    because states are allocated together with much that is freed at once; memory would then grow with the log."""

    def __init__(self) -> None:
        self._rows: dict[Ids, list[int]] = {}
        self._repeated: set[Ids] = set()
        self._prefetched: set[Ids] = set()
        self._evictable: Iterator[Ids] = iter(())
        self._storage: Tensor | None = None
        self._free_rows: list[int] = []
        self._capacity = 0
        self.cached_tokens = 0
        """Tokens in the cache: at most MAX_TOKENS, or the announced and prefetched tokens if these are more."""
        self.encoded_tokens = 0
        """Tokens that the encoder has encoded so far."""

    def expect(self, passages: Iterable[Ids]) -> None:
        """Announce the passages of the next shard, each as often as it occurs. Repeated ones stay until the next call; the
        oldest others are evicted where their place is needed."""
        self._repeated = {ids for ids, count in Counter(passages).items() if count > 1}
        self._set_prefetched(set())
        self._evictable = iter([ids for ids in self._rows if ids not in self._repeated])
        self._evict_for(0)

    def prefetch(self, passages: Iterable[Ids], encode: Encode) -> None:
        """Encode the missing passages together; all of them stay until the next call of `prefetch` or `expect`."""
        distinct = dict.fromkeys(passages)
        self._set_prefetched(set(distinct))
        self._evict_for(0)
        by_length: dict[int, list[Ids]] = {}
        for ids in distinct:
            if ids not in self._rows:
                by_length.setdefault(len(ids), []).append(ids)
        self.states([torch.tensor(by_length[length]) for length in sorted(by_length)], encode)

    def _set_prefetched(self, passages: set[Ids]) -> None:
        for ids in self._prefetched - self._repeated - passages:
            self._drop(ids)
        self._prefetched = passages
        self._capacity = max(MAX_TOKENS, sum(map(len, self._repeated | passages)))

    def states(self, groups: Groups, encode: Encode) -> TokenStates:
        """Token states of each group; `encode` gets the passages that are missing."""
        keys: list[list[Ids]] = [[tuple(row) for row in ids.tolist()] for ids in groups]
        missing = [[k for k, key in enumerate(wanted) if key not in self._rows] for wanted in keys]
        to_encode = [ids[rows] for ids, rows in zip(groups, missing, strict=True) if rows]
        self.encoded_tokens += sum(ids.numel() for ids in to_encode)
        encoded = iter(encode(to_encode) if to_encode else [])
        # Cached states are read before new ones are written, which may evict them.
        out = [self._merge(wanted, rows, encoded) for wanted, rows in zip(keys, missing, strict=True)]
        for wanted, rows, states in zip(keys, missing, out, strict=True):
            kept = [k for k in rows if wanted[k] in self._repeated or wanted[k] in self._prefetched]
            self._add([wanted[k] for k in kept], states[kept])
        return out

    def _merge(self, keys: list[Ids], missing: list[int], encoded: Iterator[Tensor]) -> Float[Tensor, "n L d"]:
        """States of one group: cached ones, and the next of `encoded` for those that were missing."""
        if len(missing) == len(keys):
            return next(encoded)
        assert self._storage is not None
        rows = [self._rows.get(key, [0] * len(key)) for key in keys]
        states = self._storage[torch.tensor(rows, device=self._storage.device)]
        if missing:
            states[missing] = next(encoded)
        return states

    def _add(self, keys: list[Ids], states: Float[Tensor, "n L d"]) -> None:
        if not keys:
            return
        count, length, _ = states.shape
        self._evict_for(count * length)
        storage = self._grown_storage(states)
        rows = [self._free_rows.pop() for _ in range(count * length)]
        storage[torch.tensor(rows, device=storage.device)] = states.flatten(0, 1)
        self._rows.update((key, rows[k * length : (k + 1) * length]) for k, key in enumerate(keys))
        self.cached_tokens += len(rows)

    def _evict_for(self, tokens: int) -> None:
        while self.cached_tokens + tokens > self._capacity:
            oldest = next(self._evictable)
            if oldest not in self._prefetched:
                self._drop(oldest)

    def _drop(self, ids: Ids) -> None:
        rows = self._rows.pop(ids, [])
        self._free_rows += rows
        self.cached_tokens -= len(rows)

    def _grown_storage(self, like: Tensor) -> Float[Tensor, "capacity d"]:
        """The storage, enlarged to the capacity; rows that are never written take no memory."""
        size = 0 if self._storage is None else len(self._storage)
        if self._storage is None or size < self._capacity:
            # Not an inference tensor, so that it can be written to in any mode.
            with torch.inference_mode(False), torch.no_grad():
                grown = torch.empty(self._capacity, like.shape[-1], dtype=like.dtype, device=like.device)
                if self._storage is not None:
                    grown[:size] = self._storage
            self._free_rows += range(self._capacity - 1, size - 1, -1)
            self._storage = grown
        return self._storage
