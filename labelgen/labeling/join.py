"""The parts of one file become the output file, in the form of the input.

Parts are plain JSON Lines whatever the form is, and joining is a pure function of them: so neither the size of shards
nor the order in which they were done shows in the output."""

import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.files import atomic_write, compressed
from labelgen.data.schema import arrow_schema

_GROUP = 1024
"""Rows in a row group of Parquet."""


def join(parts: Sequence[Path], path: Path) -> None:
    """Write `path` from the lines of all parts in order, atomically. Raises StorageError if it cannot be written."""
    with atomic_write(path) as file:
        if path.suffix == ".parquet":
            _write_rows(parts, file)
        else:
            with compressed(file, path.name) as to:
                _copy(parts, to)


def _copy(parts: Sequence[Path], to: IO[bytes]) -> None:
    for part in parts:
        with part.open("rb") as file:
            shutil.copyfileobj(file, to)


def _write_rows(parts: Sequence[Path], to: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = _lines(parts)
    with pq.ParquetWriter(to, arrow_schema(), compression="zstd", write_page_checksum=True) as writer:
        while rows := [msgspec.json.decode(line) for line in islice(lines, _GROUP)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()))


def _lines(parts: Sequence[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            yield from file
