"""labelgen's own form: JSON Lines (also packed with gzip or zstd) or Parquet, a file, a folder of them, or `-` for standard input."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from labelgen.base.errors import StorageError
from labelgen.base.files import DamagedError, decompressed
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_set import Sources, read_labels
from labelgen.data.placed import Placed, placed
from labelgen.data.quarantine import Rejected, behind
from labelgen.data.reader import Options, Reader
from labelgen.data.record import decode
from labelgen.data.rows import count_rows, read_rows
from labelgen.data.source_files import files_of, numbered
from labelgen.data.writer import FORMS

SUFFIXES = FORMS


def shard_files(path: Path) -> list[Path]:
    """The record files at `path`: itself, or all below a folder, sorted. Raises UsageError if there are none."""
    return files_of(path, SUFFIXES)


def read_file(path: Path, name: str | None = None) -> Iterator[Dialogue | Rejected]:
    """The records of one file, in order; what is behind the place where a packed file is damaged is one rejected record. `name` is
    what the file is called in what is rejected. Raises StorageError if it cannot be read."""
    return map(_bare, read_placed(path, name))


def read_placed(path: Path, name: str | None = None) -> Iterator[Placed | Rejected]:
    """The same, each good record with its place. `-` is standard input."""
    name = name or str(path)
    if name == "-":
        yield from _lines(sys.stdin.buffer, name)
        return
    try:
        yield from _rows(path, name) if path.suffix == ".parquet" else _packed_lines(path, name)
    except OSError as error:
        raise StorageError(f"cannot read {name}: {error}", str(path), "check that the file is whole") from error


def _lines(lines: Iterable[bytes], name: str) -> Iterator[Placed | Rejected]:
    """JSON Lines; empty lines are passed over."""
    for number, text in numbered(lines):
        yield placed(decode(text, name, number), name, number, text)


def _packed_lines(path: Path, name: str) -> Iterator[Placed | Rejected]:
    number = 0
    with decompressed(path) as file:
        try:
            for number, text in numbered(file):
                yield placed(decode(text, name, number), name, number, text)
        except DamagedError as error:
            yield Rejected(file=name, reason=behind(number, error))


def _rows(path: Path, name: str) -> Iterator[Placed | Rejected]:
    rows = count_rows(path)
    if isinstance(rows, str):
        yield Rejected(file=name, reason=rows)
    else:
        yield from read_rows(path, name, 0, rows)


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in [path] if str(path) == "-" else shard_files(path):
        yield from read_file(file)


def _bare(item: Placed | Rejected) -> Dialogue | Rejected:
    return item.dialogue if isinstance(item, Placed) else item


def _labels(path: Path, options: Options) -> Sources:
    """labels.json in the folder, or beside the file."""
    beside = (path if path.is_dir() else path.parent) / "labels.json"
    return read_labels(beside) if beside.is_file() else {}


READER = Reader(_read, _labels)
