"""Rows of comma- or tab-separated text with a header (RFC 4180: a quoted cell may hold line breaks)."""

import csv
import io
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.quarantine import Rejected
from labelgen.data.source_files import reading

# How undecodable bytes come in, by the error handler "surrogateescape".
_NOT_UTF8 = re.compile("[\udc80-\udcff]")

Row = Mapping[str, str]
"""column -> cell; an empty cell is an empty text."""


def rows_of(file: Path, name: str, columns: Iterable[str]) -> Iterator[tuple[int, Row | Rejected]]:
    """Rows with the number of the line each ends on, from 1; tabs part the cells of a `.tsv`, commas those of other files.

    Raises UsageError where one of `columns` is missing, and for Parquet."""
    with reading(file) as raw:
        if raw.read(4) == b"PAR1":
            hint = "leave out --format if these are labelgen's records (the name is to end in .parquet), else write the table as CSV"
            raise UsageError(f"{name} is Parquet and no table of text", str(file), hint)
    rows = _cells(file, name)
    line, header = next(rows, (1, None))
    if header is None or isinstance(header, Rejected):
        yield from () if header is None else ((line, header),)
        return
    for column in columns:
        if column not in header:
            raise UsageError(f"{name} has no column {column!r}", str(file), f"it has: {', '.join(header)}")
    for line, cells in rows:
        if isinstance(cells, Rejected):
            yield line, cells
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        else:
            reason = f"bad_row: {len(cells)} cells, the header has {len(header)}"
            yield line, Rejected(file=name, line=line, reason=reason, raw=repr(cells))


def not_utf8(row: Row) -> str | None:
    """The first column whose cell is not UTF-8, or None."""
    return next((column for column, text in row.items() if _NOT_UTF8.search(text)), None)


_Cells = tuple[int, list[str] | Rejected]


def _cells(file: Path, name: str) -> Iterator[_Cells]:
    """Rows that are not empty, each with the number of the line it ends on. A quote that is never closed would swallow all
    that follows: its line is rejected, and what follows is read anew."""
    read: int | None = 0
    while read is not None:
        opened = yield from _cells_behind(read, file, name)
        if opened is not None:
            with _text(file) as text:
                raw = next(islice(text, opened - 1, None)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            reason = "bad_row: a quote is opened and never closed"
            yield opened, Rejected(file=name, line=opened, reason=reason, raw=raw)
        read = opened


def _cells_behind(read: int, file: Path, name: str) -> Generator[_Cells, None, int | None]:
    """The same behind so many lines, as far as a row that never ends; gives the line that opens it."""
    with _text(file) as text:
        delimiter = "\t" if ".tsv" in file.suffixes else ","
        reader = csv.reader(islice(text, read, None), delimiter=delimiter, strict=True)
        while True:
            first = read + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return None
            except csv.Error as error:
                line = read + reader.line_num
                if "end of data" in str(error):
                    return first
                yield line, Rejected(file=name, line=line, reason=f"bad_row: {error}")
                continue
            if cells:
                yield read + reader.line_num, cells


@contextmanager
def _text(file: Path) -> Iterator[io.TextIOWrapper]:
    with reading(file) as raw:
        yield io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
