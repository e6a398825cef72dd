"""Sorting of more items than memory has room for, by the external merge sort of SQLite (https://sqlite.org/tempfiles.html)."""

import sqlite3
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from labelgen.base.errors import StorageError

Key = TypeVar("Key", bound=str | int)
Item = tuple[Key, int, bytes]
"""Key, place and payload; items are sorted by key, and by place where keys are equal."""

_CACHE_KB = 64 << 10
_BATCH = 1000
_HINT = "free some room, or set TMPDIR to a folder with as much room as twice the log needs"


class DiskSort(Generic[Key]):
    """Sorts items in bounded memory. Add them, then iterate once. What does not fit into 64 MiB lies in a file without a name in TMPDIR,
    which ends with the `with` block or the process. Raises StorageError where the disk is full."""

    def __init__(self) -> None:
        self._data = sqlite3.connect("", check_same_thread=False)
        for name, value in (("cache_size", -_CACHE_KB), ("journal_mode", "OFF"), ("synchronous", "OFF")):
            self._data.execute(f"PRAGMA {name} = {value}")
        self._data.execute("CREATE TABLE items (key, place INTEGER, payload BLOB)")
        self._waiting: list[tuple[bytes | int, int, bytes]] = []

    def __enter__(self) -> "DiskSort[Key]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def add(self, key: Key, place: int, payload: bytes) -> None:
        """One more item. Equal pairs of key and place may not occur."""
        # UTF-8 as bytes has the order of code points, and texts of files in another encoding have lone surrogates.
        self._waiting.append((key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key, place, payload))
        if len(self._waiting) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        try:
            self._data.executemany("INSERT INTO items VALUES (?, ?, ?)", self._waiting)
        except sqlite3.OperationalError as error:
            raise StorageError(f"cannot sort on disk: {error}", "the temporary folder", _HINT) from error
        self._waiting = []

    def __iter__(self) -> Iterator[Item[Key]]:
        self._flush()
        try:
            for key, place, payload in self._data.execute("SELECT * FROM items ORDER BY key, place"):
                plain: Any = key.decode("utf-8", "surrogatepass") if isinstance(key, bytes) else key
                yield plain, place, payload
        except sqlite3.OperationalError as error:
            raise StorageError(f"cannot sort on disk: {error}", "the temporary folder", _HINT) from error
