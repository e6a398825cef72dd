"""Writing a log, record by record."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_write, compressed, fresh_file, to_path
from labelgen.data.dialogue import Dialogue
from labelgen.data.record import encode, to_plain
from labelgen.data.schema import arrow_schema

FORMS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""Ends of the names of files that hold records."""

Write = Callable[[Dialogue], None]

_ROW_GROUP = 1024


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
    if not path.name.endswith(FORMS):
        raise UsageError(f"cannot tell the form of {path.name}", str(path), f"let the name end in {', '.join(FORMS)}")
    fresh_file(path, force)
    form = _write_rows if path.suffix == ".parquet" else _write_lines
    with atomic_write(path) as file, compressed(file, path.name) as to, form(to) as write:
        yield write


@contextmanager
def _write_lines(file: IO[bytes]) -> Iterator[Write]:
    def write(dialogue: Dialogue) -> None:
        file.write(encode(dialogue) + b"\n")

    yield write


@contextmanager
def _write_rows(file: IO[bytes]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[object] = []

    def flush() -> None:
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()))
            rows.clear()

    def write(dialogue: Dialogue) -> None:
        rows.append(msgspec.to_builtins(to_plain(dialogue)))
        if len(rows) == _ROW_GROUP:
            flush()

    with pq.ParquetWriter(file, arrow_schema(), compression="zstd", write_page_checksum=True) as writer:
        yield write
        flush()
