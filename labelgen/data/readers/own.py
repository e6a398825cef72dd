"""labelgen's own form: JSON Lines (also packed with gzip or zstd) or Parquet, a file, a folder of them, or `-` for standard input."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from labelgen.base.errors import StorageError
from labelgen.base.packed import DamagedError, unpacked
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_set import Sources, read_labels
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
    name = name or str(path)
    try:
        yield from _rows(path, name) if path.suffix == ".parquet" else _lines(path, name)
    except OSError as error:
        raise StorageError(f"cannot read {name}: {error}", str(path), "check that the file is whole") from error


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Dialogue | Rejected]:
    """JSON Lines; empty lines are passed over."""
    for number, text in numbered(lines):
        yield decode(text, name, number)


def _lines(path: Path, name: str) -> Iterator[Dialogue | Rejected]:
    number = 0
    with unpacked(path) as file:
        try:
            for number, text in numbered(file):
                yield decode(text, name, number)
        except DamagedError as error:
            yield Rejected(file=name, reason=behind(number, error))


def _rows(path: Path, name: str) -> Iterator[Dialogue | Rejected]:
    rows = count_rows(path)
    if isinstance(rows, str):
        yield Rejected(file=name, reason=rows)
    else:
        yield from read_rows(path, name, 0, rows)


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    if str(path) == "-":
        yield from read_lines(sys.stdin.buffer, "-")
        return
    for file in shard_files(path):
        yield from read_file(file)


def _labels(path: Path, options: Options) -> Sources:
    """labels.json in the folder, or beside the file."""
    beside = (path if path.is_dir() else path.parent) / "labels.json"
    return read_labels(beside) if beside.is_file() else {}


READER = Reader(_read, _labels)
