"""Cutting an input file into shards at record borders, and reading one of them.

A cut is found without parsing a record, so that one process can cut for many. A compressed file has to be unpacked from
its start for each of its shards; against labeling that is little."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from labelgen.base.errors import StorageError
from labelgen.base.files import DamagedError, decompressed
from labelgen.data.placed import Placed, placed
from labelgen.data.quarantine import Rejected, behind
from labelgen.data.record import decode
from labelgen.data.rows import count_rows, read_rows
from labelgen.data.source_files import without_mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A run of records of one file.

    start: first record, from 0. line: number of its line or row, from 1. offset: where it begins, in bytes of the
    unpacked file. damage: why nothing can be read from here to the end of the file; it then stands for one record that is
    rejected, however many there were."""

    start: int
    records: int
    line: int
    offset: int = 0
    damage: str | None = None


def cut(path: Path, size: int) -> tuple[Cut, ...]:
    """Runs of at most `size` records, in order; none for an empty file. Of a damaged file the last one has the damage. Raises
    StorageError if it cannot be read."""
    with _storage(path):
        return _cut_rows(path, size) if path.suffix == ".parquet" else _cut_lines(path, size)


def read_cut(path: Path, name: str, piece: Cut, digest: Any) -> Iterator[Placed | Rejected]:
    """The records of one cut, in order; `name` is what the file is called in what is rejected, and `digest` (of
    hashlib) is fed with what was read."""
    if piece.damage is not None:
        digest.update(piece.damage.encode())
        yield Rejected(file=name, reason=piece.damage)
        return
    with _storage(path):
        read = _read_rows if path.suffix == ".parquet" else _read_lines
        yield from read(path, name, piece, digest)


def _cut_lines(path: Path, size: int) -> tuple[Cut, ...]:
    cuts: list[Cut] = []
    start = records = offset = position = 0
    first = 1
    number = 0
    damage: DamagedError | None = None
    with decompressed(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    if records == size:
                        cuts.append(Cut(start=start, records=records, line=first, offset=offset))
                        start, records = start + records, 0
                    if records == 0:
                        first, offset = number, position
                    records += 1
                position += len(line)
        except DamagedError as error:
            damage = error
    if records:
        cuts.append(Cut(start=start, records=records, line=first, offset=offset))
    if damage is not None:
        cuts.append(Cut(start=start + records, records=1, line=number + 1, damage=behind(number, damage)))
    return tuple(cuts)


def _read_lines(path: Path, name: str, piece: Cut, digest: Any) -> Iterator[Placed | Rejected]:
    with decompressed(path) as file:
        _skip(file, piece.offset)
        left = piece.records
        for number, line in enumerate(file, piece.line):
            if line.strip():
                digest.update(line)
                text = without_mark(line, number)
                yield placed(decode(text, name, number), name, number, text)
                left -= 1
            if left == 0:
                return


def _cut_rows(path: Path, size: int) -> tuple[Cut, ...]:
    rows = count_rows(path)
    if isinstance(rows, str):
        return (Cut(start=0, records=1, line=1, damage=rows),)
    return tuple(Cut(start=start, records=min(size, rows - start), line=start + 1) for start in range(0, rows, size))


def _read_rows(path: Path, name: str, piece: Cut, digest: Any) -> Iterator[Placed | Rejected]:
    def hear(row: Mapping[str, Any]) -> None:
        digest.update(msgspec.json.encode(row, enc_hook=repr))

    yield from read_rows(path, name, piece.start, piece.start + piece.records, hear)


def _skip(file: IO[bytes], offset: int) -> None:
    if file.seekable():
        file.seek(offset)
        return
    while offset:
        offset -= len(file.read(min(offset, 1 << 20)))


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, DamagedError) as error:
        raise StorageError(f"cannot read {path.name}: {error}", str(path), "check that the file is whole") from error
