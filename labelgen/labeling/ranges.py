"""Split an input file into ranges of records, and read one range.

Splitting finds record borders without parsing records, so that one process can split for many workers. A compressed file is
unpacked from its start for each range; the cost is small compared with labeling."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labelgen.base.errors import StorageError
from labelgen.base.files import DamagedError, decompressed
from labelgen.data.log import damage_reason
from labelgen.data.reader import strip_byte_order_mark
from labelgen.data.record import LocatedDialogue, Rejected, decode, locate
from labelgen.data.tables import count_rows, read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRange:
    """Consecutive records of one file.

    start: index of the first record, from 0. line: number of its line or row, from 1. offset: its first byte in the
    unpacked file. damage: why the file cannot be read from here to its end; such a range counts as one rejected record, because
    the true number is unknown."""

    start: int
    count: int
    line: int
    offset: int = 0
    damage: str | None = None


def split_file(path: Path, size: int) -> tuple[RecordRange, ...]:
    """Ranges of at most `size` records, in order; none for an empty file. The last range of a damaged file carries the damage.

    Raises StorageError if the file cannot be read."""
    with _storage(path):
        return _split_rows(path, size) if path.suffix == ".parquet" else _split_lines(path, size)


def read_range(path: Path, name: str, records: RecordRange) -> Iterator[LocatedDialogue | Rejected]:
    """Read the records of one range, in order. name: the file's name in rejected records."""
    if records.damage is not None:
        yield Rejected(file=name, reason=records.damage)
        return
    with _storage(path):
        if path.suffix == ".parquet":
            yield from read_rows(path, name, records.start, records.start + records.count)
        else:
            yield from _read_lines(path, name, records)


def _split_lines(path: Path, size: int) -> tuple[RecordRange, ...]:
    borders: list[tuple[int, int]] = []
    count = offset = number = 0
    damage: DamagedError | None = None
    with decompressed(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    if count % size == 0:
                        borders.append((number, offset))
                    count += 1
                offset += len(line)
        except DamagedError as error:
            damage = error
    ranges = [
        RecordRange(start=k * size, count=min(size, count - k * size), line=line, offset=offset)
        for k, (line, offset) in enumerate(borders)
    ]
    if damage is not None:
        ranges.append(RecordRange(start=count, count=1, line=number + 1, damage=damage_reason(number, damage)))
    return tuple(ranges)


def _read_lines(path: Path, name: str, records: RecordRange) -> Iterator[LocatedDialogue | Rejected]:
    with decompressed(path) as file:
        _skip(file, records.offset)
        left = records.count
        for number, line in enumerate(file, records.line):
            if line.strip():
                text = strip_byte_order_mark(line, number)
                yield locate(decode(text, name, number), name, number, text)
                left -= 1
            if left == 0:
                return


def _split_rows(path: Path, size: int) -> tuple[RecordRange, ...]:
    rows = count_rows(path)
    if isinstance(rows, str):
        return (RecordRange(start=0, count=1, line=1, damage=rows),)
    return tuple(
        RecordRange(start=start, count=min(size, rows - start), line=start + 1) for start in range(0, rows, size)
    )


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
