"""Embedding cache for training with a frozen encoder: a passage is encoded once, not once an epoch."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelgen.features.layout import Passages
from labelgen.kernels.device import to_device

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
