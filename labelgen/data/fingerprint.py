"""Fingerprints of dialogues: 64 bits of the id and all texts, by which a training dialogue is known again."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from labelgen.base.files import short_digest
from labelgen.data.dialogue import Dialogue

Fingerprints = NDArray[np.uint64]
"""Sorted, each once."""


def fingerprint(dialogue: Dialogue) -> int:
    """Of the id, the requests and the responses, whatever else the record holds; case and spacing do not count."""
    texts = [dialogue.id, *(text for turn in dialogue.turns for text in (turn.request, turn.response))]
    return short_digest("\x00".join(" ".join(text.casefold().split()) for text in texts))


def pack(fingerprints: Iterable[int]) -> bytes:
    """Ascending, each once, eight bytes big-endian."""
    return np.array(sorted(set(fingerprints)), dtype=">u8").tobytes()


def unpack(packed: bytes) -> Fingerprints:
    """Raises ValueError for bytes that `pack` did not make."""
    found = np.frombuffer(packed, dtype=">u8").astype(np.uint64)
    if np.any(found[1:] <= found[:-1]):
        raise ValueError("the fingerprints are not in order")
    return found
