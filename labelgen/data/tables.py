"""Tables: records in Parquet, rows of CSV text, and labels as a flat table, with one row for each label, each field without one, and each
field from which an annotator abstained.

A damaged row group of a Parquet file loses only its own rows. Row numbers count over the whole file, from 0. labelgen writes
page checksums and verifies them."""

import csv
import difflib
import io
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from labelgen.base.errors import UsageError, first_line
from labelgen.base.files import atomic_write, fresh_file
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, At, AtDialogue, AtGoal, AtSpan, AtTurn, Field, scope
from labelgen.data.reader import open_input
from labelgen.data.record import LocatedDialogue, Rejected, arrow_schema, convert, drop_null, locate, to_plain

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Write = Callable[[Dialogue], None]

_ROW_GROUP = 1024

_AT_ONCE = 256


def count_rows(path: Path) -> int | str:
    """The number of rows, or the reason (`bad_parquet: ...`) why the file cannot be read. Raises OSError for a disk error."""
    try:
        with _opened(path) as file:
            groups = sum(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups))
            return (
                groups
                if groups == file.metadata.num_rows
                else "bad_parquet: its row groups hold another number of rows"
            )
    except parquet_damage() as error:
        return parquet_reason(error)


def read_rows(path: Path, name: str, start: int, end: int) -> Iterator[LocatedDialogue | Rejected]:
    """Rows `[start, end)` of a file that count_rows has opened, each a dialogue or rejected. Raises OSError where the disk fails."""
    with _opened(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            yield from _read_group(file, group, name, first, max(first, start), min(last, end))
            first = last


def _read_group(
    file: "pq.ParquetFile", group: int, name: str, first: int, start: int, end: int
) -> Iterator[LocatedDialogue | Rejected]:
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
                fields = drop_null(plain)
                yield locate(convert(fields, name, row), name, row, fields)
    except parquet_damage() as error:
        reason = parquet_reason(error)
        for lost in range(row, end):
            yield Rejected(file=name, reason=reason, line=lost + 1)


def python_rows(batch: "pa.RecordBatch") -> list[dict[str, Any]]:
    """The rows of a batch. Digits of times below a microsecond are cut, which Python's datetime has no room for; bytes that are
    UTF-8 are texts."""
    import pyarrow as pa
    from pyarrow.compute import CastOptions

    for k, column in enumerate(batch.schema):
        if (to := _python_type(column.type)) != column.type:
            try:
                cells = batch.column(k).cast(options=CastOptions(to, allow_time_truncate=True))
            except pa.ArrowInvalid:
                continue  # bytes of another encoding
            batch = batch.set_column(k, column.name, cells)
    rows: list[dict[str, Any]] = batch.to_pylist()
    return [{name: _text_of(cell) for name, cell in row.items()} for row in rows]


def _text_of(cell: Any) -> Any:
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell


def _python_type(kind: Any) -> Any:
    """The type of Arrow whose values Python has: without nanoseconds, and texts in place of bytes, also within lists and objects."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_python_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_python_type(field.type)) for field in kind])
    return kind


def _plain(batch: "pa.RecordBatch") -> Iterator[Any]:
    try:
        yield from python_rows(batch)
    except UnicodeDecodeError:
        # Invalid UTF-8 raises only when it is read; the other rows are still good.
        for k in range(batch.num_rows):
            try:
                yield from python_rows(batch.slice(k, 1))
            except UnicodeDecodeError as error:
                yield Rejected(file="", reason=f"bad_utf8: {error}")


@contextmanager
def _opened(path: Path) -> Iterator["pq.ParquetFile"]:
    import pyarrow.parquet as pq

    with path.open("rb") as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
        yield file


def parquet_damage() -> tuple[type[Exception], ...]:
    """What is raised for a damaged Parquet file."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, UnicodeDecodeError)


def parquet_reason(error: Exception) -> str:
    """The reason to reject what a damaged file has. Raises the error where the disk failed."""
    # Arrow raises an OSError without a number for data that are damaged, with one where the disk failed.
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return f"bad_parquet: {first_line(error)}"


@contextmanager
def parquet_writer(file: IO[bytes]) -> Iterator[Write]:
    with parquet_rows(file, arrow_schema(), _ROW_GROUP) as write:
        yield lambda dialogue: write(to_plain(dialogue))


@contextmanager
def parquet_rows(file: IO[bytes], schema: "pa.Schema", group: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function that writes one row. group: rows of a row group; memory holds no more."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []

    def flush() -> None:
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()

    def write(row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == group:
            flush()

    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        yield write
        flush()


def rows_of(
    file: Path,
    name: str,
    columns: Iterable[str],
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    quotes: bool = True,
) -> Iterator[tuple[int, Mapping[str, str] | Rejected]]:
    """Rows, from columns to cells, with the number of their last line, from 1; an empty cell is an empty text. delimiter: of cells; a tab in a `.tsv`, else a comma, where it is None. quotes:
    whether double quotes enclose cells.

    Raises UsageError where one of `columns` is missing, where two columns have one name, and for Parquet."""
    with open_input(file) as raw:
        if raw.read(4) == b"PAR1":
            hint = "leave out --format if these are labelgen's records (the name is to end in .parquet), else name its form"
            raise UsageError(f"{name} is Parquet and no table of text", str(file), hint)
    delimiter = delimiter or ("\t" if ".tsv" in file.suffixes else ",")
    rows = _cells(file, name, delimiter, encoding, quotes)
    line, header = next(rows, (1, None))
    if header is None or isinstance(header, Rejected):
        yield from () if header is None else ((line, header),)
        return
    header = [column or f"column {k}" for k, column in enumerate(header, 1)]
    check_columns(header, columns, file, name)
    for line, cells in rows:
        if isinstance(cells, Rejected):
            yield line, cells
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        else:
            reason = f"bad_row: {len(cells)} cells, the header has {len(header)}"
            begin = ", ".join(map(repr, header[:_SHOWN]))
            hint = f"check that the first line is the header (here {begin}), that the delimiter is {delimiter!r}, and quotes"
            yield line, Rejected(file=name, line=line, reason=reason, raw=repr(cells), hint=hint)


def check_columns(header: Sequence[str], columns: Iterable[str], file: Path, name: str) -> None:
    """Raises UsageError where one of `columns` is missing, or where two columns have one name."""
    doubled = sorted(column for column, count in Counter(header).items() if count > 1)
    if doubled:
        raise UsageError(f"{name} has two columns {doubled[0]!r}", str(file), "rename one of them")
    for column in columns:
        if column not in header:
            near = difflib.get_close_matches(column, header, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"{name} has no column {column!r}", str(file), f"{hint}it has: {', '.join(header)}")


_SHOWN = 3
_Cells = tuple[int, list[str] | Rejected]
_MOST_CHARACTERS = 1 << 24
"""Of a cell; a longer one is a quote that was not closed."""


def _cells(file: Path, name: str, delimiter: str, encoding: str, quotes: bool) -> Iterator[_Cells]:
    """Non-empty rows, each with the number of its last line.

    A quote that is not closed well would swallow the lines behind it: its line is rejected, and reading restarts after it."""
    csv.field_size_limit(_MOST_CHARACTERS)
    read: int | None = 0
    while read is not None:
        bad = yield from _cells_behind(read, file, name, delimiter, encoding, quotes)
        read = None
        if bad is not None:
            read, why = bad
            with _text(file, encoding) as text:
                line = next(islice(text, read - 1, None)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            yield read, Rejected(file=name, line=read, reason=f"bad_row: {why}", raw=line)


def _cells_behind(
    read: int, file: Path, name: str, delimiter: str, encoding: str, quotes: bool
) -> Generator[_Cells, None, tuple[int, str] | None]:
    """The rows after the first `read` lines, up to a bad quote; returns the line of that quote and the reason, else None."""
    with _text(file, encoding) as text:
        lines = islice(text, read, None)
        reader = csv.reader(
            lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
        )
        while True:
            first = read + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return None
            except csv.Error as error:
                line = read + reader.line_num
                if "end of data" in str(error):
                    return first, "a quote is opened and never closed"
                if line > first:
                    return first, f"a quote is opened, and closed on line {line}: {error}"
                yield line, Rejected(file=name, line=line, reason=f"bad_row: {error}")
                continue
            if cells:
                yield read + reader.line_num, cells


@contextmanager
def _text(file: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    with open_input(file) as raw:
        yield io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="")


COLUMNS = {
    "dialogue": "string",
    "annotator": "string",
    "kind": "string",
    "task": "string",
    "unit": "string",
    "turns": "string",
    "turn": "int64",
    "start": "int64",
    "end": "int64",
    "text": "string",
    "label": "string",
    "value": "string",
    "probability": "float64",
    "threshold": "float64",
    "abstained": "bool",
}
"""Columns of the table, and their types in Arrow.

unit: turn, span, goal or dialogue. turns: of a goal, with spaces. turn: index of a turn or of a span's turn. start, end: a span
in code points of the request; text: its words. label: empty where the annotator says that there is none. threshold: below it the
model abstains; absent without one. abstained: whether it did; label and probability are then those that were withheld."""

Row = dict[str, Any]

SUFFIXES = (".csv", ".parquet")
"""Endings of the names of files with a table of labels."""

_LABEL_ROW_GROUP = 8192
_WORDS = {True: "true", False: "false"}

if TYPE_CHECKING:
    import pyarrow as pa


def label_rows(dialogue: Dialogue, annotation: Annotation) -> Iterator[Row]:
    """The rows of one annotation, in the order of its labels, then of fields without a label, then of withheld ones."""
    thresholds = {
        (one.task, one.unit): one.probability
        for one in (annotation.provenance.thresholds if annotation.provenance else ())
    }

    def row(field: Field, at: At, label: str | None, value: Any, probability: float | None, abstained: bool) -> Row:
        unit = UNIT_OF[type(field.at)]
        threshold = thresholds.get((field.task, unit), thresholds.get((field.task, None)))
        return {
            "dialogue": dialogue.id,
            "annotator": annotation.annotator,
            "kind": annotation.kind,
            "task": field.task,
            "unit": UNIT_OF[type(at)],
            **place_columns(dialogue, at),
            "label": label,
            "value": None if value is None else str(value),
            "probability": probability,
            "threshold": threshold,
            "abstained": abstained,
        }

    for label in annotation.labels:
        yield row(scope(label), label.at, label.name, label.value, label.probability, False)
    for none in annotation.none:
        yield row(none.field, none.at, None, None, none.probability, False)
    for withheld in annotation.abstained:
        for best in withheld.best:
            yield row(withheld.field, best.at, best.name, best.value, best.probability, True)
        if not withheld.best:
            yield row(withheld.field, withheld.field.at, None, None, None, True)


def place_columns(dialogue: Dialogue, at: At) -> Row:
    """The columns that say what a label is about."""
    place: Row = dict.fromkeys(("turns", "turn", "start", "end", "text"))
    match at:
        case AtSpan(turn, start, end):
            place |= {"turn": turn, "start": start, "end": end, "text": dialogue.turns[turn].request[start:end]}
        case AtTurn(turn):
            place["turn"] = turn
        case AtGoal(turns):
            place["turns"] = " ".join(map(str, turns))
        case AtDialogue():
            pass
    return place


@contextmanager
def open_table_writer(path: Path, force: bool = False) -> Iterator[Callable[[Row], None]]:
    """Open a table for writing; yields a function that writes one row to `path`: `.csv` (UTF-8) or `.parquet`.

    The file appears complete at the end of the block. Memory does not grow with the number of rows. Raises UsageError for
    another ending, or if the file exists and force is false."""
    if path.suffix not in SUFFIXES:
        what = f"cannot tell the form of {path.name}"
        raise UsageError(what, str(path), f"let the name end in {' or '.join(SUFFIXES)}")
    fresh_file(path, force)
    with atomic_write(path) as file:
        csv_form = path.suffix == ".csv"
        form = _csv_rows(file) if csv_form else parquet_rows(file, arrow_table_schema(), _LABEL_ROW_GROUP)
        with form as write:
            yield write


@contextmanager
def _csv_rows(file: IO[bytes]) -> Iterator[Callable[[Row], None]]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.DictWriter(text, list(COLUMNS))
    table.writeheader()
    flags = [name for name, kind in COLUMNS.items() if kind == "bool"]
    words = [name for name, kind in COLUMNS.items() if kind == "string"]

    def write(row: Row) -> None:
        table.writerow(row | {name: _WORDS[row[name]] for name in flags} | {name: _safe(row[name]) for name in words})

    yield write
    text.detach()


def _safe(cell: str | None) -> str | None:
    """A text that spreadsheets do not take for a formula. Source: OWASP, CSV Injection."""
    return f"'{cell}" if cell and cell[0] in "=+-@\t\r" else cell


def arrow_table_schema() -> "pa.Schema":
    """The columns of a table and their types, in Arrow."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])
