"""Passages that are said more than once are encoded once: within a call for all of them, and across calls up to a bound.

A passage's states depend on the passage alone, so whether they were kept shows in no bit of what comes out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

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
