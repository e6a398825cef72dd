"""Prepared training dialogues as a memory-mapped Arrow file without a name, so that nothing is left behind however the process ends."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from labelgen.base.errors import StorageError

SCHEMA = pa.schema(
    [
        ("record", pa.binary()),
        ("turns", pa.int64()),
        ("words", pa.int64()),
        ("log", pa.int64()),
        ("root", pa.int64()),
        ("fingerprint", pa.uint64()),
    ]
)
"""A dialogue as JSON, its size, the indices of its log and of the folder of its audio, and the fingerprint of its texts."""

_BATCH = 4 << 20


class Rows:
    """The rows of the file. digest: SHA-256 of all records."""

    def __init__(self, table: pa.Table, digest: str) -> None:
        self.digest = digest
        self._records = table.column("record")
        self._columns = {name: table.column(name).to_numpy() for name in SCHEMA.names[1:]}
        self._ends = np.cumsum([len(chunk) for chunk in self._records.chunks])

    def column(self, name: str) -> Any:
        """A column of numbers, in memory."""
        return self._columns[name]

    def record(self, index: int) -> bytes:
        """The record of a dialogue, read from the file."""
        chunk = int(np.searchsorted(self._ends, index, side="right"))
        part = self._records.chunk(chunk)
        record: bytes = part[int(index) - int(self._ends[chunk]) + len(part)].as_py()
        return record


class Writer:
    """Writes rows to the file. Memory is that of one batch, about 4 MiB.

    Raises StorageError if the disk is full."""

    def __init__(self) -> None:
        with _errors():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._rows: list[tuple[Any, ...]] = []
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, record: bytes, turns: int, words: int, log: int, root: int, fingerprint: int) -> None:
        self._digest.update(record)
        self._rows.append((record, turns, words, log, root, fingerprint))
        self._size += len(record)
        if self._size >= _BATCH:
            self._flush()

    def finish(self) -> Rows:
        """The rows, mapped into memory. The mapping keeps the bytes after the file is closed."""
        self._flush()
        with _errors():
            self._stream.close()
            table = pa.ipc.open_stream(pa.memory_map(f"/proc/self/fd/{self._file.fileno()}")).read_all()
        return Rows(table, self._digest.hexdigest())

    def close(self) -> None:
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            columns = [pa.array(c, f.type) for c, f in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)]
            with _errors():
                self._stream.write_batch(pa.record_batch(columns, schema=SCHEMA))
            self._rows, self._size = [], 0


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the training dialogues cannot be written to a temporary file: {error.strerror}",
            tempfile.gettempdir(),
            "free some room there, or name another disk by TMPDIR",
        ) from error
