"""Rows of tables and JSON, whatever their form: CSV, Excel, JSON, JSON Lines, Parquet, and Hugging Face datasets.

A row is a mapping from columns to cells, or a JSON object. Rows come in the order of the files."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import InputError, UsageError, first_line
from labelgen.base.files import DamagedError, decompressed
from labelgen.data.reader import named_files, number_lines, open_input
from labelgen.data.record import Rejected, parse
from labelgen.data.tables import check_columns, parquet_damage, parquet_reason, python_rows, rows_of
from labelgen.readers.cells import MISSING
from labelgen.readers.mapping import ColumnMapping, JsonPath

HUB = "hub:"
"""Begins the name of a dataset of the Hugging Face hub, as in `hub:owner/name`."""

_FORMS = {
    ".csv": "csv", ".tsv": "csv", ".xlsx": "excel", ".xlsm": "excel", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet",
}  # fmt: skip
_PACKED = (".gz", ".zst")
SUFFIXES = tuple(suffix + packed for suffix in _FORMS for packed in ("", *_PACKED))
"""Ends of the names of the files that are read in a folder."""

_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "an Excel file or another archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x1f\x8b": "packed by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"%PDF": "a PDF",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}
_SAMPLE = 1 << 16
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
_MOST_CONTROLS = 0.05
"""Share of control characters in text; outputs of tools have some, zero bytes are nearly half of UTF-16."""
_DELIMITERS = ",;\t|"
_BATCH = 256
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row and its place; line: or row of a table without lines, from 1. whole: every row of its file has all columns."""

    file: str
    line: int
    cells: Mapping[str, Any]
    whole: bool = True


def read_source(source: Path, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    """All rows of a file, of the files of a folder, of a saved dataset, or of a dataset of the hub.

    Raises UsageError where a column of the mapping is missing in a table, or a file has another form than it should."""
    if is_dataset(source):
        yield from _of_splits(_opened(source), _name(source), str(source), mapping)
    else:
        for name, file in named_files(source, SUFFIXES):
            yield from READ[form_of(file, mapping)](file, name, mapping)


def form_of(file: Path, mapping: ColumnMapping) -> str:
    """The form of a file: what the mapping says, else by its name, else by its first byte."""
    if mapping.form != "auto":
        return mapping.form
    suffixes = [suffix for suffix in file.suffixes if suffix not in _PACKED]
    form = _FORMS.get(suffixes[-1].lower()) if suffixes else None
    start = _start(file)
    if form is None:
        form = "jsonl" if start.lstrip()[:1] == b"{" else "csv"
    if form == "json" and _is_lines(start):
        return "jsonl"
    return form


def _start(file: Path) -> bytes:
    with open_input(file) as opened:
        return opened.read(_SAMPLE)


def _is_lines(start: bytes) -> bool:
    """Whether a text of JSON begins with a whole object on its first line, and another behind it."""
    first, _, rest = start.partition(b"\n")
    return isinstance(parse(first, dict[str, Any], ""), dict) and rest.lstrip()[:1] == b"{"


def _check_text(file: Path, name: str, form: str, start: bytes, encoding: str | None) -> None:
    """Raises UsageError for a file that is no text."""
    what = next((what for magic, what in _MAGIC.items() if start.startswith(magic)), None)
    marked = any(start.startswith(mark) for mark, _ in _MARKS)
    wide = marked or (encoding or "").lower().startswith("utf-16")
    controls = len(start) - len(start.translate(None, _CONTROLS))
    if what is None and not wide and b"\0" in start and controls > max(1, len(start) * _MOST_CONTROLS):
        what = "binary"
    if what is not None:
        hint = "give its true form by form (csv, excel, json, jsonl, parquet), or its encoding if it is UTF-16"
        raise UsageError(f"{name} is {what}, and no text of the form {form}", str(file), hint)


# CSV


def encoding_of(start: bytes, mapping: ColumnMapping) -> str:
    """The encoding of text: that of the mapping, else what a byte order mark says, else UTF-8."""
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8-sig")
    return mapping.encoding or marked


def delimiter_of(file: Path, start: bytes, encoding: str, mapping: ColumnMapping) -> str:
    """The delimiter: that of the mapping, else the one by which most of the first rows have as many cells as the header."""
    if mapping.delimiter is not None:
        return "\t" if mapping.delimiter == "tab" else mapping.delimiter
    if ".tsv" in file.suffixes:
        return "\t"
    lines = start.decode(encoding, "replace").splitlines(keepends=True)
    text = "".join(lines[: max(1, len(lines) - 1)] if len(start) == _SAMPLE else lines)

    def fit(delimiter: str) -> tuple[float, int]:
        try:
            read = csv.reader(
                io.StringIO(text, newline=""),
                delimiter=delimiter,
                quoting=csv.QUOTE_MINIMAL if mapping.quotes else csv.QUOTE_NONE,
            )
            rows = [row for row in islice(read, 100) if row]
        except csv.Error:
            return 0.0, 0
        width = len(rows[0]) if rows else 0
        return (sum(len(row) == width for row in rows) / len(rows), width) if width > 1 else (0.0, 0)

    return max(_DELIMITERS, key=fit)


def _csv(file: Path, name: str, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    start = _start(file)
    _check_text(file, name, "CSV", start, mapping.encoding)
    encoding = encoding_of(start, mapping)
    delimiter = delimiter_of(file, start, encoding, mapping)
    if not start.strip():
        raise UsageError(f"{name} is empty", str(file), "give a table with a header")
    try:
        for line, row in rows_of(file, name, (), delimiter, encoding, mapping.quotes):
            yield row if isinstance(row, Rejected) else SourceRow(name, line, row)
    except UnicodeError as error:
        hint = "give the encoding that the file has"
        raise InputError(f"{name} is not {encoding}: {error}", str(file), hint) from error


# Excel


def _excel(file: Path, name: str, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        hint = "pip install 'labelgen[excel]', or save the sheet as CSV"
        raise UsageError("Excel files need openpyxl", str(file), hint) from error
    try:
        book = load_workbook(file, read_only=True, data_only=True)
    except Exception as error:
        raise InputError(
            f"{name} is no whole Excel file: {first_line(error)}",
            str(file),
            "copy it again, or save it as .xlsx or CSV",
        ) from error
    if mapping.sheet is not None and mapping.sheet not in book.sheetnames:
        raise UsageError(f"{name} has no sheet {mapping.sheet!r}", str(file), f"it has: {', '.join(book.sheetnames)}")
    rows = book[mapping.sheet or book.sheetnames[0]].iter_rows(values_only=True)
    first = next(rows, ())
    header = [str(cell) if cell is not None else f"column {k}" for k, cell in enumerate(first, 1)]
    check_columns(header, (), file, name)
    for number, cells in enumerate(rows, 2):
        if any(cell is not None for cell in cells):
            yield SourceRow(name, number, dict(zip(header, map(_whole, cells), strict=False)))
    book.close()


def _whole(cell: Any) -> Any:
    """Excel has no whole numbers; an id 17 is stored as 17.0."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


# JSON


def _json(file: Path, name: str, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    value: Any = parse(_utf8(_unpacked(file, name), mapping), Any, name)
    if isinstance(value, Rejected):
        yield value
        return
    if mapping.records is not None:
        found = JsonPath.of(mapping.records).get(value) if isinstance(value, dict) else MISSING
        if not isinstance(found, list):
            known = ", ".join(value) if isinstance(value, dict) else "a list, without a name"
            raise UsageError(f"{name} has no list at {mapping.records!r}", str(file), f"it has: {known}")
        value = found
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield _record(record, name, number)


def _unpacked(file: Path, name: str) -> bytes:
    with open_input(file) as opened:
        data = opened.read()
    _check_text(file, name, "JSON", data[:_SAMPLE], None)
    return data


def _utf8(data: bytes, mapping: ColumnMapping) -> bytes:
    encoding = encoding_of(data[:4], mapping)
    if encoding.lower() in ("utf-8", "utf8"):
        return data
    if encoding == "utf-8-sig":
        return data.removeprefix(codecs.BOM_UTF8)
    return data.decode(encoding, "backslashreplace").encode("utf-8", "backslashreplace")


def _jsonl(file: Path, name: str, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    _check_text(file, name, "JSON Lines", _start(file)[:_SAMPLE], mapping.encoding)
    with decompressed(file) as opened:
        number = 0
        try:
            for number, line in number_lines(opened):
                record: Any = parse(_utf8(line, mapping), Any, name, number)
                yield record if isinstance(record, Rejected) else _record(record, name, number)
        except DamagedError as error:
            yield Rejected(file=name, reason=f"{error}; {number:,} lines could be read, all behind them is lost")


def _record(record: Any, name: str, number: int) -> SourceRow | Rejected:
    if isinstance(record, dict):
        return SourceRow(name, number, record, whole=False)
    reason = f"bad_type: a record is a JSON object, not {type(record).__name__}"
    hint = "name the path of the list of records by records"
    return Rejected(file=name, line=number, reason=reason, raw=msgspec.json.encode(record).decode(), hint=hint)


# Parquet and datasets


def _parquet(file: Path, name: str, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    import pyarrow.parquet as pq

    try:
        with file.open("rb") as raw, pq.ParquetFile(raw) as table:
            rows = (row for batch in table.iter_batches(batch_size=_BATCH) for row in python_rows(batch))
            for number, row in enumerate(rows, 1):
                yield SourceRow(name, number, row)
    except parquet_damage() as error:
        yield Rejected(file=name, reason=parquet_reason(error))


RECORD = frozenset({"id", "turns"})
"""Columns that every dataset of records has."""


def is_dataset(source: Path | str) -> bool:
    """Whether it is a folder that `datasets.save_to_disk` wrote, or a dataset of the hub."""
    saved = any((Path(source) / name).is_file() for name in ("dataset_dict.json", "state.json"))
    return saved or str(source).startswith(HUB)


def record_rows(source: str) -> list[Iterable[Mapping[str, Any]]]:
    """The splits of a dataset of labelgen's records. Raises UsageError for a dataset of another form."""
    data = _opened(source)
    parts = list(data.values()) if isinstance(data, dict) else [data]
    for part in parts:
        # A stream of JSON knows its columns from its first row only.
        columns = part.column_names or list(next(iter(part), {}))
        if not set(columns) >= RECORD:
            what = f"{_name(source)} has no columns id and turns, but {', '.join(columns)}"
            hint = "say what its columns mean: mapping={'dialogue': ..., 'request': ..., 'response': ...}"
            raise UsageError(what, str(source), hint)
    return parts


def _name(source: Path | str) -> str:
    text = str(source)
    return text.removeprefix(HUB) if text.startswith(HUB) else Path(text).name


def _opened(source: Path | str) -> Any:
    """A Dataset that is mapped into memory, a dataset of the hub as a stream, or a dict of them by split."""
    from datasets import load_dataset, load_from_disk

    if not str(source).startswith(HUB):
        try:
            return load_from_disk(str(source))
        except Exception as error:
            what = f"{_name(source)} is no whole saved dataset: {first_line(error)}"
            raise InputError(what, str(source), "save it again by save_to_disk") from error
    try:
        return load_dataset(_name(source), streaming=True)
    except Exception as error:
        hint = "check the name, the access token, and the network; a dataset on disk is named by its folder"
        raise InputError(
            f"the dataset {_name(source)} cannot be read: {first_line(error)}", str(source), hint
        ) from error


def _of_splits(data: Any, name: str, where: str, mapping: ColumnMapping) -> Iterator[SourceRow | Rejected]:
    splits: Mapping[str, Iterable[Mapping[str, Any]]] = data if isinstance(data, dict) else {"": data}
    if mapping.split is not None and mapping.split not in splits:
        known = ", ".join(filter(None, splits)) or "one part, without a name"
        raise UsageError(f"{name} has no split {mapping.split!r}", where, f"it has: {known}")
    for split, rows in splits.items():
        if mapping.split in (None, split):
            place = f"{name}/{split}" if split else name
            for number, row in enumerate(rows, 1):
                yield SourceRow(place, number, row)


READ = {"csv": _csv, "excel": _excel, "json": _json, "jsonl": _jsonl, "parquet": _parquet}
