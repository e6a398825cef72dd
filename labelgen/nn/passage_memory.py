"""Passages that are said more than once are encoded once: within a call for all of them, and across calls up to a bound.

A passage's states depend on the passage alone, so whether they were kept shows in no bit of what comes out."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOST_TOKENS = 32_768
"""Tokens whose states are kept for later shards: 50 MB of a width of 384 in float32."""

Groups = Sequence[Int[Tensor, "_ _"]]
States = list[Float[Tensor, "_ _ d"]]


class PassageMemory:
    """States of the passages that were announced to come again, the oldest first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], Tensor] = {}
        self._again: set[tuple[int, ...]] = set()
        self.encoded_tokens = 0
        """Tokens that were encoded so far."""

    def expect(self, passages: Iterable[tuple[int, ...]]) -> None:
        """What is about to be asked for, each as often as it is said. Those that come again are kept at least until the
        next call; of the others the oldest are forgotten, down to the bound."""
        self._again = {ids for ids, count in Counter(passages).items() if count > 1}
        held = sum(map(len, self._kept))
        for ids in [ids for ids in self._kept if ids not in self._again]:
            if held <= MOST_TOKENS:
                break
            del self._kept[ids]
            held -= len(ids)

    def states(self, groups: Groups, encode: Callable[[Groups], States]) -> States:
        """States of each group; `encode` is given those that are not known yet."""
        keys = [[tuple(row) for row in ids.tolist()] for ids in groups]
        new = [[k for k, key in enumerate(own) if key not in self._kept] for own in keys]
        asked = [ids[rows] for ids, rows in zip(groups, new, strict=True) if rows]
        self.encoded_tokens += sum(ids.numel() for ids in asked)
        encoded = iter(encode(asked) if asked else [])
        out = []
        for own, rows in zip(keys, new, strict=True):
            found = next(encoded) if rows else None
            for k, states in zip(rows, found if found is not None else (), strict=True):
                if own[k] in self._again:
                    # A copy, or the whole batch would be kept.
                    self._kept[own[k]] = states.clone()
            if found is None or len(rows) < len(own):
                fresh = dict(zip(rows, found if found is not None else (), strict=True))
                found = torch.stack([fresh[k] if k in fresh else self._kept[key] for k, key in enumerate(own)])
            out.append(found)
        return out
