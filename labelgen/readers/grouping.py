"""Values by key, such as the rows of each dialogue of a log in any order."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.sorting import DiskSort

Value = TypeVar("Value")
Part = TypeVar("Part")


def named_parts(identity: str, parts: Sequence[Part]) -> list[tuple[str, Part]]:
    """The parts of a group, each with an id: that of the group, with a number where there are several."""
    return [(f"{identity}#{k}" if len(parts) > 1 else identity, part) for k, part in enumerate(parts)]


class Groups(Generic[Value]):
    """The values of each key, in the order in which keys came first; values of a key stay in order.

    Values are kept on disk as JSON: memory is that of the largest group. Use as a context: add, then iterate once.

    Args:
        kind: type of the values.
        most: number of values of a key above which `too_many` gives the error that is raised."""

    def __init__(self, kind: Any, most: int | None = None, too_many: Callable[[str], UsageError] | None = None) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._most = most
        self._too_many = too_many
        self._by_key: DiskSort[str] = DiskSort()
        self._by_place: DiskSort[int] = DiskSort()
        self._count = 0

    def __enter__(self) -> "Groups[Value]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._by_key.__exit__(kind, error, trace)
        self._by_place.__exit__(kind, error, trace)

    def add(self, key: str, value: Value) -> None:
        """One more value of a key."""
        self._by_key.add(key, self._count, msgspec.json.encode(value))
        self._count += 1

    def __iter__(self) -> Iterator[tuple[str, list[Value]]]:
        for key, items in groupby(self._by_key, key=lambda item: item[0]):
            first: int | None = None
            packed: list[bytes] = []
            for _, place, payload in items:
                first = place if first is None else first
                packed.append(payload)
                if self._most is not None and self._too_many is not None and len(packed) > self._most:
                    raise self._too_many(key)
            assert first is not None
            self._by_place.add(first, 0, msgspec.msgpack.encode((key, packed)))
        for _, _, payload in self._by_place:
            key, packed = msgspec.msgpack.decode(payload, type=tuple[str, list[bytes]])
            yield key, [self._decoder.decode(one) for one in packed]
