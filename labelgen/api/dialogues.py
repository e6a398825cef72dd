"""Dialogues from whatever Python has: paths, dicts, DataFrames, datasets."""

import html
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import digest_file
from labelgen.base.options import make_options
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.log import MAX_BAD_RATE, Log, write_log
from labelgen.data.reader import Remark
from labelgen.data.record import LocatedDialogue, Rejected, features, to_plain
from labelgen.data.tables import check_columns
from labelgen.readers.chat import chat_dialogue, is_record
from labelgen.readers.mapped import read_rows
from labelgen.readers.mapping import COLUMNS, ColumnMapping
from labelgen.readers.sources import RECORD, SourceRow, is_dataset, record_rows
from labelgen.report.terminal import DialogueView, drawn_html

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

Source: TypeAlias = str | os.PathLike[str] | Iterable[Any]
"""A path or several, a Log, Dialogues, dialogues or their dicts, a pandas DataFrame or a datasets.Dataset."""

_DRAWN = 3


class _Rows(Iterable[Dialogue]):
    """Dialogues of the rows of datasets, each read when it is needed."""

    def __init__(self, name: str, parts: Sequence[Iterable[Mapping[str, Any]]]) -> None:
        self.name = name
        self.parts = parts

    def __iter__(self) -> Iterator[Dialogue]:
        return (Dialogue.from_dict(row) for part in self.parts for row in part)


class Dialogues(Iterable[Dialogue]):
    """A log in Python. Iterate as often as needed: from files it is read again each time, so memory does not grow with it.

    Args:
        dialogues: a Log, dialogues in memory, or anything else that yields dialogues anew in each iteration.
        labels: label sets of the sources; those of the log without a value."""

    def __init__(self, dialogues: Iterable[Dialogue], labels: Sources | None = None) -> None:
        self._dialogues = dialogues
        self.labels: Sources = labels or (dialogues.labels() if isinstance(dialogues, Log) else {})
        self._length = len(dialogues) if isinstance(dialogues, Sequence) else None
        self._remarks: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Dialogue]:
        yield from self._dialogues
        if isinstance(self._dialogues, Log):
            self._remarks = tuple(self._dialogues.remarks)  # whoever stops before the end has none

    def __len__(self) -> int:
        """Number of dialogues. A log of files is read once for it."""
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length

    def __getitem__(self, place: int) -> Dialogue:
        """The dialogue at a place, from 0. A log of files is read up to it. Raises IndexError behind the last."""
        at = place if place >= 0 else len(self) + place
        found = next(islice(self, at, None), None) if at >= 0 else None
        if found is None:
            raise IndexError(f"there is no dialogue {place}")
        return found

    def filter(self, keep: Callable[[Dialogue], bool]) -> "Dialogues":
        """The dialogues for which `keep` is true, in memory."""
        return Dialogues([dialogue for dialogue in self if keep(dialogue)], self.labels)

    def head(self, count: int = 5) -> "Dialogues":
        """The first dialogues, in memory."""
        return Dialogues(list(islice(self, count)), self.labels)

    def save(self, path: str | os.PathLike[str], force: bool = False) -> int:
        """Write `.jsonl`, `.jsonl.gz`, `.jsonl.zst` or `.parquet`, with labels.json; returns the number of dialogues.

        Raises UsageError for another ending, or if the file exists and force is false."""
        return write_log(Path(path), self, self.labels, force)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The records as they are on disk (docs/reference/record.md)."""
        return [to_plain(dialogue) for dialogue in self]

    def to_pandas(self) -> "DataFrame":
        """One row for each turn, in columns from which `load_log` makes the dialogues again, but for what was given or found on
        them: feedback, annotations, signals and targets."""
        import pandas

        return pandas.DataFrame([row for dialogue in self for row in turn_rows(dialogue)])

    def to_dataset(self) -> "Dataset":
        """One row for each dialogue, with the features of a record."""
        from datasets import Dataset

        return Dataset.from_list(self.to_dicts(), features=features())

    def __repr__(self) -> str:
        log = self._dialogues
        where = ", ".join(map(str, log.paths)) if isinstance(log, Log) else getattr(log, "name", "in memory")
        count = "" if self._length is None else f"{self._length:,} dialogues, "
        return f"Dialogues({count}{where})"

    def _repr_html_(self) -> str:
        shown = list(islice(self, _DRAWN + 1))
        drawn = "".join(
            drawn_html(DialogueView(dialogue, next(iter(dialogue.annotations), None))) for dialogue in shown[:_DRAWN]
        )
        notes = "".join(f"<p>{html.escape(text)}</p>" for text in (repr(self), *self._remarks))
        return f"{notes}{drawn}{'<p>...</p>' if len(shown) > _DRAWN else ''}"


def load_log(
    source: Source,
    *,
    mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    format: str = "labelgen",
    option: Mapping[str, str] | None = None,
    quarantine: str | os.PathLike[str] | None = None,
    max_bad_rate: float = MAX_BAD_RATE,
) -> Dialogues:
    """Dialogues from a path or several, a DataFrame, a Dataset, dicts or Dialogue objects.

    Rows of a dataset are read when they are needed: of a Dataset, an IterableDataset, a folder of `save_to_disk`, or `hub:NAME`.

    Args:
        mapping: columns or JSON paths of a table and what they mean, as a dict or a YAML file (docs/how-to/read-a-log.md). A
            DataFrame or Dataset with the columns dialogue, request and response needs none.
        format: of files, as `--format` names them; a mapping takes its place.
        option: of the reader of that format.
        quarantine: file for rejected records and the reasons.
        max_bad_rate: share of rejected records above which reading fails.

    Raises InputError for records that cannot be used, UsageError for a source or mapping that cannot be read."""
    source = getattr(source, "dialogues", source)  # of a result
    if isinstance(source, Dialogues) and mapping is None:
        return source
    if isinstance(source, Log):
        return Dialogues(source)
    if mapping is not None:
        return _mapped(source, mapping, quarantine, max_bad_rate)
    if paths := _paths(source):
        if format == "labelgen" and len(paths) == 1 and is_dataset(paths[0]):
            return Dialogues(_Rows(paths[0], record_rows(paths[0])))
        where = None if quarantine is None else Path(quarantine)
        return Dialogues(Log(paths, format, dict(option or {}), where, max_bad_rate))
    return _in_memory(source)


def _paths(source: Any) -> list[str]:
    """The paths of a source that is one or several; else none."""
    if isinstance(source, str | os.PathLike):
        return [os.fspath(source)]
    if isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        return [os.fspath(one) for one in source]
    return []


def _mapped(source: Source, mapping: Any, quarantine: str | os.PathLike[str] | None, max_bad_rate: float) -> Dialogues:
    """Dialogues of a table by a mapping."""
    by_name = isinstance(mapping, str | os.PathLike)
    options = make_options(ColumnMapping, {} if by_name else mapping, [os.fspath(mapping)] if by_name else [])
    where = None if quarantine is None else Path(quarantine)
    if paths := _paths(source):
        return Dialogues(Log(paths, "mapped", options, where, max_bad_rate))
    frame = _frame(source)
    if frame is None:
        what = f"a mapping is for files and tables, not for {type(source).__name__}"
        raise UsageError(what, "mapping", "leave it out")
    check_columns([str(name) for name in frame.columns], _columns_of(options), Path("mapping"), "the table")
    used = {str(path.steps[0]) for _, path in options.all_paths.values()}
    rows = [SourceRow("the table", k, _plain_row(row, used)) for k, row in enumerate(_rows_of(frame), 1)]
    return Dialogues(_Table(rows, options, where, max_bad_rate))


class _Table(Log):
    """The log of a table in memory, by a mapping."""

    def __init__(self, rows: Sequence[SourceRow], mapping: ColumnMapping, quarantine: Path | None, rate: float) -> None:
        super().__init__(["a table"], "mapped", mapping, quarantine, rate)
        self._rows = rows

    def _placed(self, part: Path) -> Iterator[LocatedDialogue | Rejected]:
        assert isinstance(self.options, ColumnMapping)
        for item in read_rows(iter(self._rows), self.options, "the table"):
            if isinstance(item, Remark):
                self.remarks.append(item.text)
            else:
                yield item if isinstance(item, Rejected) else LocatedDialogue(item, str(part))

    def labels(self) -> Sources:
        return {}


def _columns_of(mapping: ColumnMapping) -> list[str]:
    """The columns that a mapping names, without those within the values of others."""
    return [
        path.text for root, path in mapping.all_paths.values() if len(path.steps) == 1 and (root or not mapping.turns)
    ]


def _rows_of(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a DataFrame; cells without a value are left out."""
    import pandas

    names = [str(name) for name in frame.columns]
    for cells in zip(*(frame.iloc[:, k] for k in range(len(names))), strict=True):
        filled = zip(names, cells, strict=True)
        yield {name: cell for name, cell in filled if not (pandas.api.types.is_scalar(cell) and pandas.isna(cell))}


def _plain_row(row: Mapping[str, Any], used: Container[str]) -> dict[str, Any]:
    """A row as JSON has it; cells that have no form in it are left out if no mapping uses them."""
    plain = {}
    for name, cell in row.items():
        try:
            plain[name] = msgspec.json.decode(msgspec.json.encode(cell, enc_hook=_plain_cell))
        except UsageError as error:
            if name in used:
                raise UsageError(f"{name!r}: {error.args[0]}", "the table", error.hint) from error
    return plain


def _plain_cell(cell: Any) -> Any:
    """A cell as JSON has it: a number of numpy as a number, a time as ISO 8601. Raises UsageError for what has no such form."""
    for form in ("isoformat", "tolist"):
        if hasattr(cell, form):
            return getattr(cell, form)()
    what = f"a cell is of the type {type(cell).__name__}, which has no form in JSON"
    raise UsageError(what, "the table", "turn it into a text or a number, or leave the column out")


def _frame(source: Any) -> Any:
    """A DataFrame, or a Dataset as one; None for anything else."""
    kind = kind_of(source)
    return source if kind == "pandas" else source.to_pandas() if kind == "dataset" else None


def kind_of(source: Any) -> str:
    """What a collection is: `pandas`, `dataset`, or `python` for anything else. Needs neither library."""
    module = type(source).__module__.partition(".")[0]
    if module == "pandas" and type(source).__name__ == "DataFrame":
        return "pandas"
    return "dataset" if module == "datasets" and hasattr(source, "to_pandas") else "python"


def _has_records(source: Any) -> bool:
    """Whether it is a Dataset or IterableDataset of records."""
    return type(source).__module__.partition(".")[0] == "datasets" and set(source.column_names or ()) >= RECORD


def _in_memory(source: Any) -> Dialogues:
    if _has_records(source):
        return Dialogues(_Rows("a dataset", [source]))
    if kind_of(source) == "dataset" and not is_record({key: [] for key in source.column_names or ()}):
        return Dialogues([_dialogue(k, row) for k, row in enumerate(source)])
    frame = _frame(source)
    if frame is not None:
        if set(turn_columns()) <= set(frame.columns):
            return Dialogues(list(_from_turn_rows(_rows_of(frame))))
        columns = {name: name for name in _TURN_COLUMNS if name in frame.columns}
        if not {"dialogue", "request", "response"} <= set(columns):
            raise UsageError(
                f"the table has no columns dialogue, request and response, but {', '.join(map(str, frame.columns))}",
                "source",
                "say what its columns mean: mapping={'dialogue': ..., 'request': ..., 'response': ...}",
            )
        return _mapped(frame, {**columns, "unmapped": "keep"}, None, MAX_BAD_RATE)
    if not isinstance(source, Iterable) or isinstance(source, Mapping | bytes):
        raise UsageError(
            f"{type(source).__name__} is no log",
            "source",
            "give a path, a list of dialogues or dicts, a DataFrame or a Dataset",
        )
    return Dialogues([_dialogue(k, one) for k, one in enumerate(source)])


def _dialogue(place: int, one: Any) -> Dialogue:
    if isinstance(one, Dialogue):
        return one
    if isinstance(one, Mapping):
        return Dialogue.from_dict(one) if is_record(one) else chat_dialogue(one, f"item-{place}")
    raise UsageError(f"{type(one).__name__} is no dialogue", f"item {place}", "give Dialogue objects or their dicts")


_TURN_COLUMNS = tuple(name for name in COLUMNS if name not in ("turns", "speaker", "text", "slots", "intent"))

_OF_DIALOGUE = {
    **{name: name for name in ("source", "user", "device", "locale", "start")},
    "dialogue_extra": "extra",
}
"""Column of a table of turns -> field of a dialogue."""
_OF_TURN = {
    "time": "time_s",
    "response_time": "response_time_s",
    **{name: name for name in ("request", "response", "domain", "status", "asr_confidence", "nlu_confidence")},
    **{name: name for name in ("hypothesis", "nbest", "categories", "numbers", "audio", "steps", "extra")},
}
"""Column of a table of turns -> field of a turn."""


def turn_columns() -> tuple[str, ...]:
    """The columns of a table of turns."""
    return ("dialogue", "order", *_OF_TURN, *_OF_DIALOGUE)


def turn_rows(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """The turns of a dialogue as rows, in the columns of a mapping of turns and of what else a turn has."""
    plain = to_plain(dialogue)
    about = {name: plain.get(own) for name, own in _OF_DIALOGUE.items()}
    for k, turn in enumerate(plain["turns"]):
        yield {"dialogue": dialogue.id, "order": k, **{name: turn.get(own) for name, own in _OF_TURN.items()}, **about}


def _from_turn_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Dialogue]:
    """The dialogues of such rows, which stand together and in order."""
    for identity, group in groupby(rows, lambda row: row["dialogue"]):
        turns = sorted(group, key=lambda row: row["order"])
        about = {own: turns[0][name] for name, own in _OF_DIALOGUE.items() if name in turns[0]}
        fields = [{own: row[name] for name, own in _OF_TURN.items() if name in row} for row in turns]
        yield Dialogue.from_dict({"id": identity, **about, "turns": fields})


@contextmanager
def as_files(source: Source, folder: Path | None = None, name: str = "log") -> Iterator[tuple[str, ...]]:
    """Paths of labelgen's records that a command can read. What is not in such files is written to one.

    Args:
        folder: where it is written and stays; a temporary folder without a value.

    Raises UsageError if the folder has other dialogues."""
    if (paths := _paths(source)) and not any(map(is_dataset, paths)):
        yield tuple(paths)
        return
    dialogues = load_log(source)
    log = dialogues._dialogues
    if isinstance(log, Log) and log.format == "labelgen" and log.quarantine is None:
        yield tuple(map(str, log.paths))
        return
    with TemporaryDirectory(prefix="labelgen-") as temporary:
        path = (folder or Path(temporary)) / f"{name}.jsonl"
        if path.exists():
            again = Path(temporary) / path.name
            write_log(again, dialogues, dialogues.labels)
            if digest_file(again) != digest_file(path):
                raise UsageError(
                    "the folder has a run with other dialogues", str(path), "name another folder for the run"
                )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_log(path, dialogues, dialogues.labels, force=True)
        yield (str(path),)
