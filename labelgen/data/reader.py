"""Log readers: the interface, the registry, and shared functions, such as groups of rows in any order."""

import codecs
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, NamedTuple, TypeVar

import msgspec

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import DamagedError, decompressed, is_remote
from labelgen.base.options import read_options
from labelgen.base.registry import Registry
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.record import Rejected


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader tells about a whole log, such as a count of copies that it dropped; no record."""

    text: str


Items = Iterator[Dialogue | Rejected | Remark]
"""What a reader yields: records, those that could not be used, and remarks about the log."""

Options = Any
"""Options of a reader: a value of its own dataclass."""


def no_labels(path: Path, options: Options) -> Sources:
    """No label sets, for corpora without label descriptions; they are then collected from the annotations."""
    return {}


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Options of a reader that has none."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A log reader for one format.

    read_path: from a path (a file, or a folder in the published layout) and options to dialogues, always in the same order.
    labels_of: label names and descriptions that the corpus publishes. options: the dataclass of the options.

    Methods take options as a value of the dataclass, or as texts by name, as `--option NAME=VALUE` gives them."""

    read_path: Callable[[Path, Options], Items]
    labels_of: Callable[[Path, Options], Sources] = no_labels
    options: type = NoOptions

    def make_options(self, given: Mapping[str, str] | Options) -> Options:
        """The options; `mapping=FILE` names a YAML file of them, and others win over those of the file.

        Raises UsageError for an option that this reader does not know, and for a value that it cannot have."""
        if not isinstance(given, Mapping):
            return given
        words = [f"--{'config' if name == 'mapping' else name}={text}" for name, text in given.items()]
        try:
            return read_options(self.options, words)
        except UsageError as error:
            raise UsageError(error.what, "an --option of the reader", error.hint) from error

    def read(self, path: Path, options: Mapping[str, str] | Options) -> Items:
        """The dialogues at a path."""
        return self.read_path(path, self.make_options(options))

    def labels(self, path: Path, options: Mapping[str, str] | Options) -> Sources:
        """The label sets at a path."""
        return self.labels_of(path, self.make_options(options))


READERS = Registry(
    "labelgen.readers",
    {
        "labelgen": "labelgen.data.log:READER",
        "chat": "labelgen.readers.chat:READER",
        "chatgpt": "labelgen.readers.chatgpt:READER",
        "rasa": "labelgen.readers.rasa:READER",
        "opentelemetry": "labelgen.readers.opentelemetry:READER",
        "langfuse": "labelgen.readers.langfuse:READER",
        "langsmith": "labelgen.readers.langsmith:READER",
        "mapped": "labelgen.readers.mapped:READER",
    },
)
"""Name of a format -> its Reader, built in or from a plug-in."""


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The record files at `path`: the file itself, or all files below a folder, sorted.

    Hidden files and quarantine files are skipped. Raises UsageError if there are none, and for a link to a folder, which
    could form a cycle."""
    if path.is_dir():
        below = [
            p for p in sorted(path.rglob("*")) if not any(part.startswith(".") for part in p.relative_to(path).parts)
        ]
        links = [] if is_remote(path) else [p for p in below if p.is_symlink() and p.is_dir()]
        if links:
            raise UsageError(f"{links[0]} is a link to a folder", str(path), "name that folder as a log of its own")
        turns = [
            p for p in below if p.name.endswith(tuple(suffixes)) and not f".{p.name}".endswith(".quarantine.jsonl")
        ]
        if odd := [p for p in turns if p.exists() and not p.is_file()]:
            raise UsageError(f"{odd[0]} is neither a file nor a folder", str(path), "remove it from the log")
        if not turns:
            raise UsageError(f"no records in {path}", str(path), f"a log is made of {', '.join(suffixes)} files")
        return turns
    if not path.exists():
        raise UsageError(f"{path} does not exist", str(path), "name a file or folder of records")
    return [path]


def named_files(path: Path, suffixes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The files of `files_of` with their names below the folder."""
    for file in files_of(path, suffixes):
        yield file.relative_to(path).as_posix() if path.is_dir() else file.name, file


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open to read; `.gz` and `.zst` are unpacked. Raises StorageError if the file cannot be read whole."""
    try:
        with decompressed(path) as file:
            yield file
    except (OSError, DamagedError) as error:
        raise StorageError(f"cannot read {path}: {error}", str(path), "check that the file is whole") from error


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Non-empty lines of a file with their numbers, from 1."""
    with open_input(path) as file:
        yield from number_lines(file)


def number_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Non-empty lines with their numbers, from 1."""
    for number, text in enumerate(lines, 1):
        line = strip_byte_order_mark(text, number)
        if line.strip():
            yield number, line


def strip_byte_order_mark(line: bytes, number: int) -> bytes:
    """The line without a UTF-8 byte order mark, which only line 1 can have."""
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises StorageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", str(path), "check the path") from error


Line = TypeVar("Line")


class Exchange(NamedTuple, Generic[Line]):
    """The lines of one turn: the user's, then the assistant's; at most one of them is empty."""

    user: tuple[Line, ...]
    assistant: tuple[Line, ...]


def exchanges(lines: Iterable[Line], by_user: Callable[[Line], bool]) -> list[Exchange[Line]]:
    """Group the lines of a dialogue into turns, in order.

    Consecutive lines of one side belong to one turn. If the assistant opens, the first turn has no user line."""
    turns: list[Exchange[Line]] = []
    user: tuple[Line, ...] = ()
    for from_user, side in groupby(lines, by_user):
        if from_user:
            user = tuple(side)
        else:
            turns.append(Exchange(user, tuple(side)))
            user = ()
    return [*turns, Exchange(user, ())] if user else turns


def join_texts(texts: Iterable[str]) -> str:
    """Join the utterances of one side with line breaks."""
    return "\n".join(texts)


Value = TypeVar("Value")
Part = TypeVar("Part")


def named_parts(identity: str, parts: Sequence[Part]) -> list[tuple[str, Part]]:
    """The parts of a group, each with an id: that of the group, with a number where there are several."""
    return [(f"{identity}#{k}" if len(parts) > 1 else identity, part) for k, part in enumerate(parts)]


_CACHE_KB = 64 << 10
_BATCH = 1000
_HINT = "free some room, or set TMPDIR to a folder with as much room as twice the log needs"
_BY_FIRST_PLACE = """
    SELECT key, payload FROM (SELECT *, MIN(place) OVER (PARTITION BY key) AS first FROM items) ORDER BY first, place
"""


class Groups(Generic[Value]):
    """The values of each key, in the order in which keys came first; values of a key stay in order.

    Values are kept as JSON; what does not fit into 64 MiB lies in a file without a name in TMPDIR, which SQLite sorts
    (https://sqlite.org/tempfiles.html), so that memory is that of the largest group. Use as a context: add, then iterate once. Raises
    StorageError where the disk is full.

    Args:
        kind: type of the values.
        most: number of values of a key above which `too_many` gives the error that is raised."""

    def __init__(self, kind: Any, most: int | None = None, too_many: Callable[[str], UsageError] | None = None) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._most = most
        self._too_many = too_many
        self._data = sqlite3.connect("", check_same_thread=False)
        for name, value in (("cache_size", -_CACHE_KB), ("journal_mode", "OFF"), ("synchronous", "OFF")):
            self._data.execute(f"PRAGMA {name} = {value}")
        self._data.execute("CREATE TABLE items (place INTEGER PRIMARY KEY, key BLOB, payload BLOB)")
        self._waiting: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> "Groups[Value]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def add(self, key: str, value: Value) -> None:
        """One more value of a key."""
        # Texts of files in another encoding have lone surrogates.
        self._waiting.append((key.encode("utf-8", "surrogatepass"), msgspec.json.encode(value)))
        if len(self._waiting) == _BATCH:
            self._flush()

    def __iter__(self) -> Iterator[tuple[str, list[Value]]]:
        self._flush()
        for packed_key, rows in groupby(self._rows(), key=lambda row: row[0]):
            key, packed = packed_key.decode("utf-8", "surrogatepass"), list[bytes]()
            for _, payload in rows:
                packed.append(payload)
                if self._most is not None and self._too_many is not None and len(packed) > self._most:
                    raise self._too_many(key)
            yield key, [self._decoder.decode(one) for one in packed]

    def _flush(self) -> None:
        with _disk_errors():
            self._data.executemany("INSERT INTO items (key, payload) VALUES (?, ?)", self._waiting)
        self._waiting = []

    def _rows(self) -> Iterator[tuple[bytes, bytes]]:
        with _disk_errors():
            # Through `map`, since `yield from` a cursor closes it where the iteration is left, maybe after its database.
            yield from map(tuple, self._data.execute(_BY_FIRST_PLACE))


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(f"cannot sort on disk: {error}", "the temporary folder", _HINT) from error
