"""Splits of a log into parts, such as train, valid and test, that share no user."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from labelgen.base.errors import UsageError
from labelgen.base.files import short_digest
from labelgen.data.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Part:
    """A named part of a split. fraction: share of the users, 0..1; dialogues without a user count as users."""

    name: str
    fraction: float


def read_parts(text: str) -> tuple[Part, ...]:
    """Parts from text such as `train=0.8,valid=0.1,test=0.1`.

    Raises UsageError unless the names differ and can name files, and the fractions are positive and sum to 1."""
    parts = []
    for item in text.split(","):
        name, _, fraction = (piece.strip() for piece in item.partition("="))
        try:
            parts.append(Part(name, float(fraction)))
        except ValueError as error:
            raise _unusable(text, f"{item!r} is not NAME=FRACTION") from error
    names = [part.name for part in parts]
    if len(set(names)) < len(names) or not all(name.replace("-", "").replace("_", "").isalnum() for name in names):
        raise _unusable(text, "the names are not different words")
    if not all(part.fraction > 0 for part in parts) or not math.isclose(math.fsum(p.fraction for p in parts), 1.0):
        raise _unusable(text, "the fractions are not positive, or do not sum to 1")
    return tuple(parts)


def _unusable(text: str, what: str) -> UsageError:
    return UsageError(what, f"--parts {text}", "write --parts train=0.8,valid=0.1,test=0.1")


def position(seed: int, key: str) -> float:
    """Hash a key to [0, 1): uniform over keys and equal on every machine."""
    return int.from_bytes(sha256(f"{seed}:{key}".encode()).digest()[:7], "big") / 2**56


def user_key(dialogue: Dialogue) -> str:
    """Name of the independent unit of a dialogue: its user, or the dialogue itself where the user is unknown."""
    return f"user {dialogue.user}" if dialogue.user else f"dialogue {dialogue.id}"


def part_of(dialogue: Dialogue, parts: Sequence[Part], seed: int = 0, purpose: str = "") -> str:
    """The part of a dialogue. All dialogues of a user are in one part; dialogues without a user are assigned one by one.

    purpose: extra hash input. A part of an earlier split needs another purpose, or all of it would fall into one part."""
    key = user_key(dialogue)
    place = position(seed, f"{purpose} {key}" if purpose else key)
    bound = 0.0
    for part in parts:
        bound += part.fraction
        if place < bound:
            return part.name
    return parts[-1].name


FOLDS = 5
"""Folds of a training log, in each of which the dialogues are held out once."""


def fold_of(dialogue: Dialogue, seed: int = 0) -> int:
    """The fold of a training dialogue; all of one user are in one."""
    return int(position(seed, f"fold {user_key(dialogue)}") * FOLDS)


class Seen:
    """Digests of training dialogues, to leave copies of them out of the other parts.

    A copy has the same requests in the same order; case and spacing are ignored. A dialogue without any request is never a
    copy. Memory: eight bytes a dialogue."""

    def __init__(self, training: Iterable[Dialogue]) -> None:
        self._digests = {digest for dialogue in training if (digest := _digest(dialogue)) is not None}

    def __contains__(self, dialogue: Dialogue) -> bool:
        return _digest(dialogue) in self._digests


def _digest(dialogue: Dialogue) -> int | None:
    requests = [" ".join(turn.request.casefold().split()) for turn in dialogue.turns]
    if not any(requests):
        return None
    return int.from_bytes(sha256("\n".join(requests).encode()).digest()[:8], "big")


Fingerprints = NDArray[np.uint64]
"""Sorted fingerprints without duplicates."""


def fingerprint(dialogue: Dialogue) -> int:
    """Hash of the id, requests and responses of a dialogue; case and spacing are ignored."""
    texts = [dialogue.id, *(text for turn in dialogue.turns for text in (turn.request, turn.response))]
    return short_digest("\x00".join(" ".join(text.casefold().split()) for text in texts))


def fingerprint_text(dialogue: Dialogue) -> str:
    """The fingerprint in hex."""
    return f"{fingerprint(dialogue):016x}"


def pack(fingerprints: Iterable[int]) -> bytes:
    """Encode fingerprints: ascending, without duplicates, eight bytes big-endian each."""
    return np.unique(np.fromiter(fingerprints, np.uint64)).astype(">u8").tobytes()


def unpack(packed: bytes) -> Fingerprints:
    """Decode the bytes of `pack`. Raises ValueError for other bytes."""
    values = np.frombuffer(packed, dtype=">u8").astype(np.uint64)
    if np.any(values[1:] <= values[:-1]):
        raise ValueError("the fingerprints are not in order")
    return values
