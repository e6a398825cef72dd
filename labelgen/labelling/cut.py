"""Cutting an input file into shards at record borders, and reading one of them.

A cut is found without parsing a record, so that one process can cut for many. A compressed file has to be unpacked from
its start for each of its shards; against labelling that is little."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from labelgen.base.errors import StorageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.quarantine import Rejected
from labelgen.data.record import convert, decode, drop_null


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A run of records of one file.

    start: first record, from 0. line: number of its line or row, from 1. offset: where it begins, in bytes of the
    unpacked file. fault: why the file as a whole cannot be read; it then stands for one record that is rejected."""

    start: int
    records: int
    line: int
    offset: int = 0
    fault: str | None = None


def cut(path: Path, size: int) -> tuple[Cut, ...]:
    """Runs of at most `size` records, in order; none for an empty file. Raises StorageError if it cannot be read."""
    with _storage(path):
        try:
            return _cut_rows(path, size) if path.suffix == ".parquet" else _cut_lines(path, size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            return (Cut(start=0, records=1, line=1, fault=f"bad_gzip: {error}"),)


def read_cut(path: Path, name: str, piece: Cut, digest: Any) -> Iterator[Dialogue | Rejected]:
    """The records of one cut, in order; `name` is what the file is called in what is rejected, and `digest` (of
    hashlib) is fed with what was read."""
    if piece.fault is not None:
        digest.update(piece.fault.encode())
        yield Rejected(file=name, reason=piece.fault)
        return
    with _storage(path):
        read = _read_rows if path.suffix == ".parquet" else _read_lines
        yield from read(path, name, piece, digest)


def _cut_lines(path: Path, size: int) -> tuple[Cut, ...]:
    cuts: list[Cut] = []
    start = records = offset = position = 0
    first = 1
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                if records == size:
                    cuts.append(Cut(start=start, records=records, line=first, offset=offset))
                    start, records = start + records, 0
                if records == 0:
                    first, offset = number, position
                records += 1
            position += len(line)
    if records:
        cuts.append(Cut(start=start, records=records, line=first, offset=offset))
    return tuple(cuts)


def _read_lines(path: Path, name: str, piece: Cut, digest: Any) -> Iterator[Dialogue | Rejected]:
    with _open(path) as file:
        file.seek(piece.offset)
        left = piece.records
        for number, line in enumerate(file, piece.line):
            if line.strip():
                digest.update(line)
                yield decode(line, name, number)
                left -= 1
            if left == 0:
                return


def _cut_rows(path: Path, size: int) -> tuple[Cut, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
    except pa.ArrowInvalid as error:
        return (Cut(start=0, records=1, line=1, fault=f"bad_parquet: {error}"),)
    return tuple(Cut(start=start, records=min(size, rows - start), line=start + 1) for start in range(0, rows, size))


def _read_rows(path: Path, name: str, piece: Cut, digest: Any) -> Iterator[Dialogue | Rejected]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row, end = 0, piece.start + piece.records
    try:
        with pq.ParquetFile(path) as file:
            before = 0
            groups: list[int] = []
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if before < end and before + count > piece.start:
                    if not groups:
                        row = before
                    groups.append(group)
                before += count
            for batch in file.iter_batches(batch_size=256, row_groups=groups):
                first, last = max(row, piece.start), min(row + batch.num_rows, end)
                for number, plain in enumerate(batch.slice(first - row, max(0, last - first)).to_pylist(), first + 1):
                    held = drop_null(plain)
                    digest.update(msgspec.json.encode(held, enc_hook=repr))
                    yield convert(held, name, number)
                row += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        # Arrow raises an OSError without a number for data that are damaged, with one where the disk failed.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        yield Rejected(file=name, reason=f"bad_parquet: {error}", line=row + 1)


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error}", str(path), "check that the file is whole") from error
