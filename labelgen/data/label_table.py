"""Labels as a flat table: one row for each label, each field without a label, and each field from which an annotator abstained."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_write, fresh_file
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, At, AtDialogue, AtGoal, AtSpan, AtTurn, Field, scope
from labelgen.data.tables import parquet_rows

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

_ROW_GROUP = 8192
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
def open_table_writer(
    path: Path, force: bool = False, columns: Mapping[str, str] = COLUMNS
) -> Iterator[Callable[[Row], None]]:
    """Open a table for writing; yields a function that writes one row to `path`: `.csv` (UTF-8) or `.parquet`.

    columns: names, and types in Arrow. The file appears complete at the end of the block. Memory does not grow with the number of rows. Raises UsageError for
    another ending, or if the file exists and force is false."""
    if path.suffix not in SUFFIXES:
        what = f"cannot tell the form of {path.name}"
        raise UsageError(what, str(path), f"let the name end in {' or '.join(SUFFIXES)}")
    fresh_file(path, force)
    with atomic_write(path) as file:
        if path.suffix == ".csv":
            form = _csv_rows(file, columns)
        else:
            form = parquet_rows(file, arrow_table_schema(columns), _ROW_GROUP)
        with form as write:
            yield write


@contextmanager
def _csv_rows(file: IO[bytes], columns: Mapping[str, str]) -> Iterator[Callable[[Row], None]]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.DictWriter(text, list(columns))
    table.writeheader()
    flags = [name for name, kind in columns.items() if kind == "bool"]
    words = [name for name, kind in columns.items() if kind == "string"]

    def write(row: Row) -> None:
        table.writerow(row | {name: _WORDS[row[name]] for name in flags} | {name: _safe(row[name]) for name in words})

    yield write
    text.detach()


def _safe(cell: str | None) -> str | None:
    """A text that spreadsheets do not take for a formula. Source: OWASP, CSV Injection."""
    return f"'{cell}" if cell and cell[0] in "=+-@\t\r" else cell


def arrow_table_schema(columns: Mapping[str, str] = COLUMNS) -> "pa.Schema":
    """The columns of a table and their types, in Arrow."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
