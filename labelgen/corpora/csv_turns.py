"""Turns in a table: comma- or tab-separated text with a header, one row an utterance or one row a turn.

path: a `.csv` or `.tsv` file (also `.gz`), or a folder of them. Options name the columns and their values:

    dialogue=COLUMN              the dialogue's id; rows of one dialogue may stand apart within a file, not over several files
    speaker=COLUMN text=COLUMN   one row an utterance
    request=COLUMN response=COLUMN   or one row a turn
    user=COLUMN time=COLUMN domain=COLUMN status=COLUMN asr_confidence=COLUMN nlu_confidence=COLUMN
    categories=COLUMN,...  numbers=COLUMN,...   further features of a turn
    is_user=VALUE,...  is_assistant=VALUE,...   what stands in the speaker's column (upper and lower case are equal)

A time is in seconds, or ISO 8601, and becomes relative to the dialogue's first. Rows of a dialogue are sorted by time; rows of
equal times keep their order, and a row without a time stays after the previous row. An empty cell is an unknown value. Of
several rows that make one turn, the first that gives a value counts."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Category, Dialogue, Number, Turn
from labelgen.data.reader import Exchange, Options, Reader, exchanges, files_of, join_texts
from labelgen.data.record import Rejected, validate
from labelgen.data.tables import Row, not_utf8, rows_of

_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_COLUMNS = ("dialogue", "speaker", "text", "request", "response", "user", "time", "domain", "status",
            "asr_confidence", "nlu_confidence")  # fmt: skip
_LISTS = ("categories", "numbers")
_IS_USER = "user,customer,caller,human,u,c"
_IS_ASSISTANT = "assistant,agent,system,bot,wizard,a,s"


class _CellError(ValueError):
    """column, and why its value cannot be used."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class _Table:
    """Which column holds what; `by_user` says whose row it is, None where a row is a turn."""

    columns: Mapping[str, str]
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    by_user: Callable[[Row], bool] | None

    def cell(self, row: Row, name: str) -> str:
        return row[self.columns[name]] if name in self.columns else ""


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    table = _table(options)
    for file in files_of(path, _SUFFIXES):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        left = _apart(file, name, table)
        waiting: dict[str, _CsvBlock] = {}
        for block in _blocks(file, name, table):
            if isinstance(block, Rejected):
                yield block
                continue
            if block.dialogue in left:
                block = _join(waiting.pop(block.dialogue, None), block)
                left[block.dialogue] -= 1
                if left[block.dialogue]:
                    waiting[block.dialogue] = block
                    continue
            yield _dialogue(block, table, name)


@dataclass(frozen=True, slots=True)
class _CsvBlock:
    """Rows of one dialogue. line: of the first. broken: a row between these was rejected."""

    dialogue: str
    line: int
    rows: tuple[Row, ...]
    broken: bool


def _join(before: _CsvBlock | None, block: _CsvBlock) -> _CsvBlock:
    if before is None:
        return block
    return _CsvBlock(before.dialogue, before.line, before.rows + block.rows, before.broken or block.broken)


def _apart(file: Path, name: str, table: _Table) -> Counter[str]:
    """In how many blocks the rows of a dialogue stand, of those that stand in several."""
    blocks = Counter(block.dialogue for block in _blocks(file, name, table) if isinstance(block, _CsvBlock))
    return Counter({dialogue: count for dialogue, count in blocks.items() if count > 1})


def _blocks(file: Path, name: str, table: _Table) -> Iterator[_CsvBlock | Rejected]:
    """Rows of one dialogue that stand together, and rows that are rejected."""
    rows: list[Row] = []
    first = 0
    bad: Rejected | None = None
    broken = False
    for number, row in rows_of(file, name, (*table.columns.values(), *table.categories, *table.numbers)):
        if isinstance(row, Rejected):
            yield row
            bad = row
            continue
        if rows and table.cell(row, "dialogue") != table.cell(rows[0], "dialogue"):
            yield _CsvBlock(table.cell(rows[0], "dialogue"), first, tuple(rows), broken)
            rows, broken = [], False
        # A dialogue without one of its rows never took place.
        broken = broken or (bool(rows) and bad is not None)
        bad = None
        first = first if rows else number
        rows.append(row)
    if rows:
        yield _CsvBlock(table.cell(rows[0], "dialogue"), first, tuple(rows), broken)


def _table(options: Options) -> _Table:
    columns = {name: options[name] for name in _COLUMNS if name in options}
    per_line = {"speaker", "text"} <= columns.keys()
    per_turn = {"request", "response"} <= columns.keys()
    if "dialogue" not in columns or per_line == per_turn:
        hint = "--option dialogue=COLUMN with speaker= and text=, or with request= and response= (data.option of a training)"
        raise UsageError("it is not said which columns hold the dialogue", "--option", hint)
    categories, numbers = (tuple(filter(None, options.get(name, "").split(","))) for name in _LISTS)
    return _Table(columns, categories, numbers, _speakers(columns["speaker"], options) if per_line else None)


def _speakers(column: str, options: Options) -> Callable[[Row], bool]:
    users = {value.strip().casefold() for value in options.get("is_user", _IS_USER).split(",")}
    others = {value.strip().casefold() for value in options.get("is_assistant", _IS_ASSISTANT).split(",")}

    def by_user(row: Row) -> bool:
        value = row[column].strip().casefold()
        if value not in users | others:
            hint = "say who that is by --option is_user=... or is_assistant=..."
            raise _CellError(column, f"bad_speaker: {row[column]!r} is neither user nor assistant; {hint}")
        return value in users

    return by_user


def _dialogue(block: _CsvBlock, table: _Table, file: str) -> Dialogue | Rejected:
    identity = block.dialogue
    try:
        if block.broken:
            raise _CellError(table.columns["dialogue"], "lacks_row: a row between those of this dialogue was rejected")
        made = _build(identity, block.rows, table)
    except _CellError as bad:
        raw = repr([dict(row) for row in block.rows])
        return Rejected(file=file, line=block.line, dialogue=identity, field=bad.column, reason=str(bad), raw=raw)
    return validate(made, file, block.line)


def _build(identity: str, rows: Sequence[Row], table: _Table) -> Dialogue:
    for row in rows:
        if (column := not_utf8(row)) is not None:
            raise _CellError(column, "bad_text: this is not UTF-8")
    times = {id(row): _time(row, table) for row in rows}
    rows = _in_order(rows, times)
    turns = exchanges(rows, table.by_user) if table.by_user else [Exchange((row,), (row,)) for row in rows]
    request, response = ("text", "text") if table.by_user else ("request", "response")
    start = next((time for row in rows if (time := times[id(row)]) is not None), None)

    def since(of: Sequence[Row]) -> float | None:
        time = times[id(of[0])] if of else None
        return None if time is None or start is None else time - start

    return Dialogue(
        id=identity,
        user=next(filter(None, (table.cell(row, "user") for row in rows)), None),
        turns=tuple(
            Turn(
                request=join_texts(table.cell(row, request) for row in turn.user),
                response=join_texts(table.cell(row, response) for row in turn.assistant),
                time_s=since(turn.user),
                response_time_s=since(turn.assistant) if table.by_user else None,
                domain=_first(turn, table, "domain"),
                status=_first(turn, table, "status"),
                asr_confidence=_number(_first(turn, table, "asr_confidence"), "asr_confidence"),
                nlu_confidence=_number(_first(turn, table, "nlu_confidence"), "nlu_confidence"),
                categories=tuple(
                    Category(name=column, value=cell)
                    for column in table.categories
                    if (cell := _first_cell(turn, column)) is not None
                ),
                numbers=tuple(
                    Number(name=column, value=value)
                    for column in table.numbers
                    if (value := _number(_first_cell(turn, column), column)) is not None
                ),
            )
            for turn in turns
        ),
    )


def _in_order(rows: Sequence[Row], times: Mapping[int, float | None]) -> list[Row]:
    """The rows by their times; one without a time stays behind the row before it."""
    last = -math.inf
    timed: list[tuple[float, Row]] = []
    for row in rows:
        time = times[id(row)]
        last = last if time is None else time
        timed.append((last, row))
    return [row for _, row in sorted(timed, key=lambda one: one[0])]


def _first(turn: Exchange[Row], table: _Table, name: str) -> str | None:
    return _first_cell(turn, table.columns[name]) if name in table.columns else None


def _first_cell(turn: Exchange[Row], column: str) -> str | None:
    return next((row[column] for row in (*turn.user, *turn.assistant) if row[column]), None)


def _number(cell: str | None, column: str) -> float | None:
    try:
        return None if cell is None else float(cell)
    except ValueError as error:
        raise _CellError(column, f"bad_number: {cell!r}") from error


def _time(row: Row, table: _Table) -> float | None:
    cell = table.cell(row, "time")
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(cell)
        # Only differences count; without a zone, one that has no summer time keeps them right.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError as error:
        raise _CellError(table.columns["time"], f"bad_time: {cell!r} is neither seconds nor ISO 8601") from error


READER = Reader(_read, options=(*_COLUMNS, *_LISTS, "is_user", "is_assistant"))
