"""Passages that are said more than once are encoded once: within a call for all of them, and across calls up to a bound.

A passage's states depend on the passage alone, so whether they were kept shows in no bit of what comes out.

What a frozen encoder said of a passage, so that training passes over each only once.

A passage's states depend on the passage alone, so whether they were kept shows in no bit of what comes out. Models of one
frozen encoder may share a memory; a copy of a model does."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelgen.features.layout import Passages

MOST_TOKENS = 32_768
"""Tokens whose states are kept for later shards: 50 MB of a width of 384 in float32."""

Groups = Sequence[Int[Tensor, "_ _"]]
States = list[Float[Tensor, "_ _ d"]]
Ids = tuple[int, ...]


class PassageMemory:
    """States of the passages that were announced to come again, the oldest first.

    They lie in one tensor, a row a token. Small tensors of their own would each hold on to the memory between them, which
    then grows with the log: states are made beside much that is freed at once."""

    def __init__(self) -> None:
        self._rows_of: dict[Ids, list[int]] = {}
        self._again: set[Ids] = set()
        self._ahead: set[Ids] = set()
        self._oldest: Iterator[Ids] = iter(())
        self._slab: Tensor | None = None
        self._free: list[int] = []
        self._room = 0
        self.held_tokens = 0
        """Tokens whose states are kept: at most MOST_TOKENS, or what was announced and read ahead where that is more."""
        self.encoded_tokens = 0
        """Tokens that were encoded so far."""

    def expect(self, passages: Iterable[Ids]) -> None:
        """What is about to be asked for, each as often as it is said. Those that come again are kept at least until the
        next call; of the others the oldest are forgotten where their place is needed."""
        self._again = {ids for ids, count in Counter(passages).items() if count > 1}
        self._leave_ahead(set())
        self._oldest = iter([ids for ids in self._rows_of if ids not in self._again])
        self._forget(0)

    def read_ahead(self, passages: Iterable[Ids], encode: Callable[[Groups], States]) -> None:
        """Encode what of these is not known, of all lengths at once; all are kept until the next call of either kind."""
        ahead = dict.fromkeys(passages)
        self._leave_ahead(set(ahead))
        self._forget(0)
        by_length: dict[int, list[Ids]] = {}
        for ids in ahead:
            if ids not in self._rows_of:
                by_length.setdefault(len(ids), []).append(ids)
        self.states([torch.tensor(by_length[length]) for length in sorted(by_length)], encode)

    def _leave_ahead(self, ahead: set[Ids]) -> None:
        """Forget what was read ahead and does not come again; `ahead` is what is now."""
        for ids in self._ahead - self._again - ahead:
            self._drop(ids)
        self._ahead = ahead
        self._room = max(MOST_TOKENS, sum(map(len, self._again | ahead)))

    def states(self, groups: Groups, encode: Callable[[Groups], States]) -> States:
        """States of each group; `encode` is given those that are not known yet."""
        keys = [[tuple(row) for row in ids.tolist()] for ids in groups]
        new = [[k for k, key in enumerate(own) if key not in self._rows_of] for own in keys]
        asked = [ids[rows] for ids, rows in zip(groups, new, strict=True) if rows]
        self.encoded_tokens += sum(ids.numel() for ids in asked)
        encoded = iter(encode(asked) if asked else [])
        # What is known is read before anything new is kept, which may take its place.
        out = [self._joined(own, rows, encoded) for own, rows in zip(keys, new, strict=True)]
        for own, rows, states in zip(keys, new, out, strict=True):
            self._keep([k for k in rows if own[k] in self._again or own[k] in self._ahead], own, states)
        return out

    def _joined(self, keys: list[Ids], new: list[int], encoded: Iterator[Tensor]) -> Float[Tensor, "n L d"]:
        """States of one group: the next of `encoded` where they are new, and those that are kept."""
        if len(new) == len(keys):
            return next(encoded)
        assert self._slab is not None
        places = [self._rows_of.get(key, [0] * len(key)) for key in keys]
        states = self._slab[torch.tensor(places, device=self._slab.device)]
        if new:
            states[new] = next(encoded)
        return states

    def _keep(self, places: list[int], keys: list[Ids], states: Float[Tensor, "n L d"]) -> None:
        if not places:
            return
        count = len(places) * states.shape[1]
        self._forget(count)
        slab = self._enough(states)
        rows = [self._free.pop() for _ in range(count)]
        slab[torch.tensor(rows, device=slab.device)] = states[places].flatten(0, 1)
        for n, k in enumerate(places):
            self._rows_of[keys[k]] = rows[n * states.shape[1] : (n + 1) * states.shape[1]]
        self.held_tokens += count

    def _forget(self, coming: int) -> None:
        """Make room for so many tokens."""
        while self.held_tokens + coming > self._room:
            oldest = next(self._oldest)
            if oldest not in self._ahead:
                self._drop(oldest)

    def _drop(self, ids: Ids) -> None:
        rows = self._rows_of.pop(ids, [])
        self._free += rows
        self.held_tokens -= len(rows)

    def _enough(self, like: Tensor) -> Float[Tensor, "room d"]:
        """The tensor that states are kept in, with room for all that may be; untouched rows take no memory."""
        have = 0 if self._slab is None else len(self._slab)
        if self._slab is None or have < self._room:
            # Made outside of inference mode, so that it may be written to in any mode.
            with torch.inference_mode(False), torch.no_grad():
                grown = torch.empty(self._room, like.shape[-1], dtype=like.dtype, device=like.device)
                if self._slab is not None:
                    grown[:have] = self._slab
            self._free += range(self._room - 1, have - 1, -1)
            self._slab = grown
        return self._slab


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
