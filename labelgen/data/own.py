"""labelgen's own record files: JSON Lines (also packed with gzip or zstd) or Parquet.

A log is a file, a folder of files, or `-` for standard input and output."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import DamagedError, atomic_write, compressed, decompressed, fresh_file, to_path
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources, read_labels
from labelgen.data.quarantine import Rejected, behind
from labelgen.data.reader import Options, Reader, files_of, numbered
from labelgen.data.record import Placed, decode, encode, placed
from labelgen.data.tables import Write, count_rows, parquet_writer, read_rows

RECORD_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""Endings of the names of record files."""


def shard_files(path: Path) -> list[Path]:
    """The record files at `path`: itself, or all below a folder, sorted. Raises UsageError if there are none."""
    return files_of(path, RECORD_SUFFIXES)


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


@contextmanager
def open_writer(path: Path | str, force: bool = False) -> Iterator[Write]:
    """A function that writes one dialogue to `path`: `.jsonl` (also packed: `.jsonl.gz`, `.jsonl.zst`), `.parquet`, or
    `-` for standard output.

    The file is there, whole, once the block is left; where the block raises, nothing is. Raises UsageError for another
    ending, or if the file exists without force."""
    if str(path) == "-":
        with _write_lines(sys.stdout.buffer) as write:
            yield write
        return
    path = to_path(path)
    if not path.name.endswith(RECORD_SUFFIXES):
        raise UsageError(
            f"cannot tell the form of {path.name}", str(path), f"let the name end in {', '.join(RECORD_SUFFIXES)}"
        )
    fresh_file(path, force)
    form = parquet_writer if path.suffix == ".parquet" else _write_lines
    with atomic_write(path) as file, compressed(file, path.name) as to, form(to) as write:
        yield write


@contextmanager
def _write_lines(file: IO[bytes]) -> Iterator[Write]:
    def write(dialogue: Dialogue) -> None:
        file.write(encode(dialogue) + b"\n")

    yield write


READER = Reader(_read, _labels)
