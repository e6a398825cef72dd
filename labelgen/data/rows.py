"""Rows of a Parquet file as dialogues; a damaged row group costs its own rows and no others.

A row is found by its number over the whole file, from 0. Pages with checksums, as labelgen writes them, are checked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelgen.data.placed import Placed, placed
from labelgen.data.quarantine import Rejected
from labelgen.data.record import convert, drop_null

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_AT_ONCE = 256

Hear = Callable[[Mapping[str, Any]], object]


def count_rows(path: Path) -> int | str:
    """How many rows there are; or why the file as a whole cannot be read, beginning with `bad_parquet`. Raises OSError
    where the disk fails."""
    try:
        with _opened(path) as file:
            groups = sum(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups))
            return (
                groups
                if groups == file.metadata.num_rows
                else "bad_parquet: its row groups hold another number of rows"
            )
    except _damage() as error:
        return _reason(error)


def read_rows(
    path: Path, name: str, start: int, end: int, hear: Hear = lambda row: None
) -> Iterator[Placed | Rejected]:
    """Rows `[start, end)` of a file that count_rows has opened, each a dialogue or rejected; `hear` is passed what each
    holds, without nulls. Raises OSError where the disk fails."""
    with _opened(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            yield from _read_group(file, group, name, first, max(first, start), min(last, end), hear)
            first = last


def _read_group(
    file: "pq.ParquetFile", group: int, name: str, first: int, start: int, end: int, hear: Hear
) -> Iterator[Placed | Rejected]:
    """Rows `[start, end)` of one row group, which begins at `first`."""
    row = start
    try:
        if start >= end:
            return
        for batch in file.iter_batches(batch_size=_AT_ONCE, row_groups=[group]):
            left = batch.slice(max(0, start - first), max(0, end - max(first, start)))
            first += batch.num_rows
            for plain in _plain(left):
                row += 1
                if isinstance(plain, Rejected):
                    yield Rejected(file=name, reason=plain.reason, line=row)
                    continue
                # Every row has all columns, so in one that labelgen does not know null is absent too.
                held = drop_null(plain)
                hear(held)
                yield placed(convert(held, name, row), name, row, held)
    except _damage() as error:
        reason = _reason(error)
        for lost in range(row, end):
            yield Rejected(file=name, reason=reason, line=lost + 1)


def _plain(batch: "pa.RecordBatch") -> Iterator[Any]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        # Text that is no UTF-8 is found as it is looked at; one such row is no fault of the others.
        for k in range(batch.num_rows):
            try:
                yield from batch.slice(k, 1).to_pylist()
            except UnicodeDecodeError as error:
                yield Rejected(file="", reason=f"bad_utf8: {error}")


@contextmanager
def _opened(path: Path) -> Iterator["pq.ParquetFile"]:
    import pyarrow.parquet as pq

    with path.open("rb") as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
        yield file


def _damage() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OSError, UnicodeDecodeError)


def _reason(error: Exception) -> str:
    # Arrow raises an OSError without a number for data that are damaged, with one where the disk failed.
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return f"bad_parquet: {error}"
