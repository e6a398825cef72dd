"""External merge sort: more items than memory has room for, sorted through temporary files.

Source: D. E. Knuth, The Art of Computer Programming, volume 3, section 5.4 (sorted runs, merged by a heap)."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

import msgspec

from labelgen.base.errors import StorageError

Key = TypeVar("Key", bound=str | int)
Item = tuple[Key, int, bytes]
"""Key, place and payload; items are sorted by key, and by place where keys are equal."""

_IN_MEMORY = 64 << 20
_OVERHEAD = 250
"""Bytes that Python needs for an item besides its key and payload."""
_BLOCK = 1 << 17
_MOST_RUNS = 64
_HINT = "free some room, or set TMPDIR to a folder with as much room as twice the log needs"


class DiskSort(Generic[Key]):
    """Sorts items in bounded memory. Add them, then iterate once; files are removed at the end of the `with` block.

    in_memory: bytes of items after which they are written to a temporary file, 64 MiB without a value. Raises StorageError where the disk is full."""

    def __init__(self, in_memory: int | None = None) -> None:
        self._items: list[Item[Key]] = []
        self._size = 0
        self._in_memory = _IN_MEMORY if in_memory is None else in_memory
        self._runs: list[Path] = []
        self._made = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "DiskSort[Key]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._items = []
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, key: Key, place: int, payload: bytes) -> None:
        """One more item. Equal pairs of key and place may not occur."""
        self._items.append((key, place, payload))
        self._size += len(payload) + (len(key) if isinstance(key, str) else 8) + _OVERHEAD
        if self._size >= self._in_memory:
            self._spill(self._sorted())
            self._items, self._size = [], 0
            if len(self._runs) == _MOST_RUNS:
                runs, self._runs = self._runs, []
                self._spill(heapq.merge(*self._read(runs)))
                for run in runs:
                    run.unlink()

    def __iter__(self) -> Iterator[Item[Key]]:
        if not self._runs:
            return iter(self._sorted())
        return heapq.merge(*self._read(self._runs), self._sorted())

    def _read(self, runs: Iterable[Path]) -> list[Iterator[Item[Key]]]:
        return [_items(run) for run in runs]

    def _sorted(self) -> list[Item[Key]]:
        self._items.sort(key=lambda item: item[:2])
        return self._items

    def _spill(self, items: Iterable[Item[Key]]) -> None:
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="labelgen-sort-")
            path = Path(self._folder.name) / str(self._made)
            self._made += 1
            with path.open("wb") as file:
                _write(file, items)
        except OSError as error:
            raise StorageError(f"cannot sort on disk: {error.strerror}", tempfile.gettempdir(), _HINT) from error
        self._runs.append(path)


def _write(file: IO[bytes], items: Iterable[Item[Key]]) -> None:
    block: list[Item[Key]] = []
    size = 0
    for item in items:
        block.append(item)
        size += len(item[2])
        if size >= _BLOCK:
            _write_block(file, block)
            block, size = [], 0
    _write_block(file, block)


def _write_block(file: IO[bytes], block: list[Item[Key]]) -> None:
    data = msgspec.msgpack.encode(block)
    file.write(len(data).to_bytes(8, "little"))
    file.write(data)


def _items(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        while head := file.read(8):
            yield from _BLOCK_DECODER.decode(file.read(int.from_bytes(head, "little")))


_BLOCK_DECODER = msgspec.msgpack.Decoder(list[tuple[str | int, int, bytes]])
