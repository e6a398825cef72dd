"""Set of 64-bit digests in an array: 12 to 24 bytes each, where Python's set of texts needs 150.

Source: D. E. Knuth, The Art of Computer Programming, volume 3, section 6.4 (open addressing, linear probing)."""

from array import array

_SMALLEST = 1 << 10


class DigestSet:
    """A set of hashes from 0 to 2**64 - 1; 0 and 1 are one."""

    def __init__(self) -> None:
        self._slots = array("Q", [0]) * _SMALLEST
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, digest: int) -> bool:
        return self._slots[self._place(digest or 1)] != 0

    def add(self, digest: int) -> None:
        digest = digest or 1  # 0 is an empty slot
        place = self._place(digest)
        if self._slots[place]:
            return
        self._slots[place] = digest
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            self._grow()

    def _place(self, digest: int) -> int:
        """The slot of a digest, or the empty one where it belongs."""
        slots, last = self._slots, len(self._slots) - 1
        place = digest & last
        while (found := slots[place]) and found != digest:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", [0]) * (2 * len(old))
        for digest in old:
            if digest:
                self._slots[self._place(digest)] = digest
