"""Any table or JSON, by a mapping of its columns: CSV, TSV, Excel, JSON, JSON Lines, Parquet, Hugging Face datasets.

path: a file, a folder of files, a folder of `datasets.save_to_disk`, or `hub:NAME`. Options are the fields of the mapping, which
`labelgen data import --help` lists, and `mapping=FILE.yaml`. A row is an utterance, a turn, or a whole dialogue with a list of
these (`turns`). Rows are grouped by `dialogue` wherever they stand, and ordered by `order` or `time`; without either they keep
their order, and a row without a time stays behind the row before it. Equal rows with a time or place are read once. Rows
without any value are left out and counted. An empty cell is an unknown value. Of several rows that make one turn, the first that gives a value counts."""

import difflib
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.reader import Groups, Reader, Remark
from labelgen.data.record import Rejected
from labelgen.readers.building import Counts, DialogueBuilder, MappedRow, is_blank
from labelgen.readers.cells import MISSING, cell_id, cell_text, undecoded
from labelgen.readers.mapping import ColumnMapping, plain_role
from labelgen.readers.sources import SourceRow, read_source

MOST_ROWS = 100_000
"""Rows of a dialogue; more are a sign that the column of the dialogue is another one."""

_CHECKED_ROWS = 1000
_SHOWN = 30
_LOOKED_AT = 200
_ENCODING = "name the encoding, such as cp1252 for Western Europe"


def read_mapped(source: Path | str, mapping: ColumnMapping) -> Iterator[Dialogue | Rejected | Remark]:
    """The dialogues of a source by a mapping, in the order of their first rows; rows that cannot be used; remarks at the end.

    Memory does not grow with the source: rows are sorted on disk. Raises UsageError for a column or path that no row has."""
    return read_rows(read_source(Path(source), mapping), mapping, str(source))


def read_rows(
    rows: Iterator[SourceRow | Rejected], mapping: ColumnMapping, where: str
) -> Iterator[Dialogue | Rejected | Remark]:
    """`read_mapped` for rows that are read already. where: their source, for messages."""
    mapping.check()
    counts = Counts()
    build = DialogueBuilder(mapping, counts)
    checked = _checked(rows, mapping, counts)
    if mapping.dialogue is None and not mapping.by_utterance:
        for row in checked:
            if (made := row if isinstance(row, Rejected) else build.dialogue(row[0], [row[1]])) is not None:
                yield made
    else:
        yield from _grouped(checked, mapping, build)
    if counts.rows == counts.kept["empty"] and not counts.kept["rejected"]:
        raise UsageError("there are no rows", where, "name a file with rows, or check form and delimiter")
    yield from map(Remark, build.remarks())


def _checked(
    rows: Iterator[SourceRow | Rejected], mapping: ColumnMapping, counts: Counts
) -> Iterator[tuple[str, MappedRow] | Rejected]:
    """The rows in the form in which they are sorted. Raises UsageError for columns and paths that no row has."""
    identity = mapping.paths.get("dialogue")
    used = {str(path.steps[0]) for _, path in mapping.all_paths.values()}
    bad: Rejected | None = None
    before: str | None = None
    for row in rows:
        if isinstance(row, Rejected):
            bad = row
            counts.kept["rejected"] += 1
            yield row
            continue
        counts.rows += 1
        if len(counts.first) < _LOOKED_AT:
            counts.first.append(row)
        _look(row, mapping, counts)
        if counts.rows == _CHECKED_ROWS:
            _require(counts, _NEEDED, "none of the first 1,000 rows")
        if all(map(is_blank, row.cells.values())):
            counts.kept["empty"] += 1
            continue
        key = f"{row.file}:{row.line}" if identity is None else cell_id(identity.get(row.cells)) or ""
        if identity is not None and not key:
            counts.kept["rejected"] += 1
            yield Rejected(
                file=row.file,
                line=row.line,
                field=identity.text,
                reason="empty_id: a row without the id of its dialogue",
                raw=msgspec.json.encode(_printable(row.cells)).decode(),
            )
            continue
        # A dialogue without one of its rows never took place.
        broken, bad, before = bad is not None and before == key, None, key
        yield _as_read(row, key, broken, used)
    if counts.rows:
        _require(counts, counts.unseen or (), f"none of {counts.rows:,} rows")


def _as_read(row: SourceRow, key: str, broken: bool, used: Container[str]) -> tuple[str, MappedRow]:
    """used: columns that the mapping reads; in others, what has no encoding is escaped."""
    fault: tuple[str, str, str | None] | None = None
    cells: Mapping[str, Any] = row.cells
    try:
        packed = msgspec.json.encode(cells)
    except UnicodeEncodeError:
        odd = [name for name, value in cells.items() if isinstance(value, str) and undecoded(value)]
        column = next((name for name in odd if name in used), None)
        if odd and column is None:
            cells = {name: _printable(value) if name in odd else value for name, value in cells.items()}
            return _as_read(SourceRow(row.file, row.line, cells, row.whole), key, broken, used)
        if column is None:
            fault = ("", "lone_surrogate: a text has a code that is no character", None)
        else:
            fault = (column, "bad_text: this is not in the encoding that is read", _ENCODING)
        packed = msgspec.json.encode(_printable(cells))
        key = _printable(key)
    except TypeError as error:
        fault, packed = ("", f"bad_type: {error}", None), b"{}"
    return key, MappedRow(row.file, row.line, msgspec.Raw(packed), broken, fault)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_printable(k): _printable(v) for k, v in value.items()}
    return [_printable(v) for v in value] if isinstance(value, list) else value


def _look(row: SourceRow, mapping: ColumnMapping, counts: Counts) -> None:
    """Note which paths a row has, and who speaks in it."""
    entries = mapping.entries(row.cells) or ()
    if counts.rows <= _CHECKED_ROWS:
        counts.known.update(dict.fromkeys(row.cells))
        for cells in entries[:20] if mapping.turns else ():
            counts.known.update(dict.fromkeys(f"{mapping.turns}[*].{name}" for name in cells))
    if counts.unseen is None:
        counts.unseen = dict(mapping.all_paths)
    if row.whole and row.file != counts.file:
        counts.file = row.file
        for root, path in mapping.all_paths.values():
            if (root or mapping.turns is None) and not {path.text, path.steps[0]} & row.cells.keys():
                _raise_missing(path.text, row.cells, row.file)
    for name, (root, path) in list(counts.unseen.items()):
        if any(path.get(cells) is not MISSING for cells in ([row.cells] if root else entries)):
            del counts.unseen[name]
    if mapping.by_utterance:
        speaker = mapping.paths["speaker"]
        for cells in entries:
            word = plain_role(cell_text(speaker.get(cells)) or "")
            if len(counts.speakers) < _CHECKED_ROWS:
                counts.speakers[word] += 1


_NEEDED = ("dialogue", "turns", "speaker", "text", "request", "response")


def _require(counts: Counts, names: Iterable[str], where: str) -> None:
    """Raises UsageError for the first of these paths that no row had."""
    missed = [counts.unseen[name][1].text for name in names if counts.unseen and name in counts.unseen]
    if missed:
        _raise_missing(missed[0], counts.known, where)


def _raise_missing(column: str, known: Iterable[str], where: str) -> NoReturn:
    near = difflib.get_close_matches(column, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    names = ", ".join(islice(known, _SHOWN))
    if {"id", "turns", "annotations"} <= set(known):
        hint = "these are records of labelgen, which need no mapping and no --format; "
    raise UsageError(
        f"{where} has a column or path {column!r}" if where.startswith("none") else f"{where} has no column {column!r}",
        f"mapping, {column}",
        f"{hint}it has: {names}",
    )


def _grouped(
    rows: Iterator[tuple[str, MappedRow] | Rejected], mapping: ColumnMapping, build: DialogueBuilder
) -> Iterator[Dialogue | Rejected]:
    """Dialogues in the order of their first rows."""

    def too_many(key: str) -> UsageError:
        return UsageError(
            f"the dialogue {key!r} has more than {MOST_ROWS:,} rows",
            f"mapping, dialogue: {mapping.dialogue}",
            "name the column whose value is another one in each dialogue",
        )

    with Groups[MappedRow](MappedRow, MOST_ROWS, too_many) as groups:
        for row in rows:
            if isinstance(row, Rejected):
                yield row
            else:
                groups.add(*row)
        for key, group in groups:
            if mapping.turns is None:
                for identity, part in build.sessions(key, group):
                    if (whole := build.dialogue(identity, part)) is not None:
                        yield whole
                continue
            # Each record is a dialogue; a second one with the same id is rejected where ids are compared.
            for k, record in enumerate(build.distinct(group)):
                made = build.dialogue(key, [record])
                if k and isinstance(made, Dialogue):
                    build.counts.kept["used"] -= 1
                    build.counts.kept["of rejected"] += 1
                if made is not None:
                    yield made


READER = Reader(read_mapped, options=ColumnMapping)
