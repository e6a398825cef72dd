"""What a frozen encoder said of a passage, so that training passes over each only once.

A passage's states depend on the passage alone, so whether they were kept shows in no bit of what comes out. Models of one
frozen encoder may share a memory; a copy of a model does."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelgen.features.layout import Passages

MOST_BYTES = 2 * 2**30
"""Of what is kept. What comes when they are full is encoded each time: forgetting the oldest would forget all of them before
the next epoch comes to them."""

Encode = Callable[[Sequence[Int[Tensor, "_ _"]]], list[Float[Tensor, "_ _ d"]]]


def passage_vectors(states: Float[Tensor, "n L d"]) -> Float[Tensor, "n d"]:
    """One vector a passage: the mean of its tokens, in 32 bits."""
    return states.mean(dim=1, dtype=torch.float32)


class FrozenMemory:
    """Pooled vectors of all passages, token states of requests; heads read no others."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._kept: dict[tuple[int, ...], tuple[Tensor, Tensor | None]] = {}
        self._free = most_bytes

    def __deepcopy__(self, memo: object) -> "FrozenMemory":
        return self

    def recall(
        self, passages: Passages, encode: Encode, with_tokens: bool
    ) -> tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]:
        """As `TurnEncoder.forward` has it; nothing need stand at the tokens of responses. `encode` is given what is not known."""
        device = passages.groups[0].device
        requests = set(passages.request.tolist()) if with_tokens else set()
        keys = [tuple(row) for ids in passages.groups for row in ids.tolist()]
        unknown = [self._unknown(key, k in requests) for k, key in enumerate(keys)]
        found = {key: self._kept[key] for key, new in zip(keys, unknown, strict=True) if not new}
        rows = torch.split(torch.tensor(unknown, device=device), [len(ids) for ids in passages.groups])
        asked = [ids[new] for ids, new in zip(passages.groups, rows, strict=True) if bool(new.any())]
        read = {keys[k] for k in requests}
        # What is made while validating could not be learned from, if it were not made so.
        with torch.inference_mode(mode=False), torch.no_grad():
            for ids, states in zip(asked, encode(asked) if asked else [], strict=True):
                vectors = passage_vectors(states)
                for key, vector, own in zip(map(tuple, ids.tolist()), vectors, states, strict=True):
                    found[key] = (vector, own if key in read else None)
                    self._keep(key, *found[key])
        pooled = torch.stack([found[key][0].to(device) for key in keys])
        if not with_tokens:
            return pooled, None
        width, dtype = next((own.shape[1], own.dtype) for _, own in found.values() if own is not None)
        blank = torch.zeros(max(map(len, keys)), width, dtype=dtype, device=device)
        tokens = [blank[: len(key)] if (own := found[key][1]) is None else own.to(device) for key in keys]
        return pooled, torch.cat(tokens)

    def _unknown(self, key: tuple[int, ...], with_tokens: bool) -> bool:
        kept = self._kept.get(key)
        return kept is None or (with_tokens and kept[1] is None)

    def _keep(self, key: tuple[int, ...], pooled: Tensor, tokens: Tensor | None) -> None:
        more = _bytes((pooled, tokens)) - _bytes(self._kept.get(key, (None, None)))
        if more <= self._free:
            self._free -= more
            # Copies, or the whole batch would be kept.
            self._kept[key] = (pooled.cpu().clone(), None if tokens is None else tokens.cpu().clone())


def _bytes(tensors: tuple[Tensor | None, Tensor | None]) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
