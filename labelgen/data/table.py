"""Rows of comma- or tab-separated text with a header (RFC 4180: a quoted cell may hold line breaks)."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labelgen.base.errors import UsageError
from labelgen.data.quarantine import Rejected
from labelgen.data.source_files import reading

if TYPE_CHECKING:
    import _csv

# How undecodable bytes come in, by the error handler "surrogateescape".
_NOT_UTF8 = re.compile("[\udc80-\udcff]")

Row = Mapping[str, str]
"""column -> cell; an empty cell is an empty text."""


def rows_of(file: Path, name: str, columns: Iterable[str]) -> Iterator[tuple[int, Row | Rejected]]:
    """Rows with the number of the line each ends on, from 1; tabs part the cells of a `.tsv`, commas those of other files.

    Raises UsageError where one of `columns` is missing."""
    with reading(file) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        rows = _cells(csv.reader(text, delimiter="\t" if ".tsv" in file.suffixes else ",", strict=True), name)
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


def _cells(reader: "_csv.Reader", name: str) -> Iterator[tuple[int, list[str] | Rejected]]:
    """Rows that are not empty, each with the number of the line it ends on."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"bad_row: {error}"
            yield reader.line_num, Rejected(file=name, line=reader.line_num, reason=reason)
            continue
        if cells:
            yield reader.line_num, cells
