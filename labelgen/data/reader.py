"""Readers of logs: their contract, their registry, and what they share."""

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, NamedTuple, TypeVar

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import DamagedError, decompressed, is_remote
from labelgen.base.registry import Registry
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.record import Rejected

Options = Mapping[str, str]
"""What a reader is told on the command line by `--option name=value`."""

Read = Callable[[Path, Options], Iterator[Dialogue | Rejected]]


def no_labels(path: Path, options: Options) -> Sources:
    """For corpora that bring no label descriptions; the sets are then collected from the annotations."""
    return {}


@dataclass(frozen=True, slots=True)
class Reader:
    """read: path (a file or the folder of the published layout) and options to dialogues, in the same order each time;
    every record is read or rejected. labels: names and descriptions that the corpus itself publishes. options: the
    names that `read` knows."""

    read: Read
    labels: Callable[[Path, Options], Sources] = no_labels
    options: tuple[str, ...] = ()

    def check(self, options: Options) -> None:
        """Raises UsageError for an option that this reader does not know."""
        for name in options:
            if name not in self.options:
                known = ", ".join(self.options) or "it takes none"
                raise UsageError(f"the reader knows no option {name!r}", f"--option {name}=...", f"known: {known}")


READERS = Registry(
    "labelgen.readers",
    {
        "labelgen": "labelgen.data.log:READER",
        "chat": "labelgen.corpora.chat:READER",
        "csv_turns": "labelgen.corpora.csv_turns:READER",
        "sgd": "labelgen.corpora.sgd:READER",
        "star": "labelgen.corpora.star:READER",
        "getgoing": "labelgen.corpora.getgoing:READER",
        "betold": "labelgen.corpora.betold:READER",
        "segments": "labelgen.corpora.segments:READER",
        "uss": "labelgen.corpora.uss:READER",
        "snips": "labelgen.corpora.snips:READER",
        "slurp": "labelgen.corpora.slurp:READER",
        "multiwoz": "labelgen.corpora.multiwoz:READER",
        "dbdc3": "labelgen.corpora.dbdc3:READER",
        "abredial": "labelgen.corpora.abredial:READER",
        "stc3": "labelgen.corpora.stc3:READER",
        "dstc10": "labelgen.corpora.dstc10:READER",
        "multidogo": "labelgen.corpora.multidogo:READER",
    },
)
"""Name of a format -> its Reader, built in or from a plug-in."""


def is_quarantine(name: str) -> bool:
    """Whether a file of this name holds what was rejected, so that a folder that is read again has it for no records."""
    return name == "quarantine.jsonl" or name.endswith(".quarantine.jsonl")


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The record files at `path`: itself, or all below a folder, sorted; hidden files and quarantine files are no
    records. Raises UsageError if there are none, and for a folder below that is a link, which might lead back."""
    if path.is_dir():
        below = [
            p for p in sorted(path.rglob("*")) if not any(part.startswith(".") for part in p.relative_to(path).parts)
        ]
        links = [] if is_remote(path) else [p for p in below if p.is_symlink() and p.is_dir()]
        if links:
            raise UsageError(f"{links[0]} is a link to a folder", str(path), "name that folder as a log of its own")
        found = [p for p in below if p.name.endswith(tuple(suffixes)) and not is_quarantine(p.name)]
        if not found:
            raise UsageError(f"no records in {path}", str(path), f"a log is made of {', '.join(suffixes)} files")
        return found
    if not path.exists():
        raise UsageError(f"{path} does not exist", str(path), "name a file or folder of records")
    return [path]


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Open to read; `.gz` and `.zst` are unpacked. Raises StorageError if the file cannot be read whole."""
    try:
        with decompressed(path) as file:
            yield file
    except (OSError, DamagedError) as error:
        raise StorageError(f"cannot read {path}: {error}", str(path), "check that the file is whole") from error


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not empty, with their numbers from 1."""
    with reading(path) as file:
        yield from numbered(file)


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Those that are not empty, with their numbers from 1."""
    for number, text in enumerate(lines, 1):
        line = without_mark(text, number)
        if line.strip():
            yield number, line


def without_mark(line: bytes, number: int) -> bytes:
    """The line of a file without the mark that some programs put before UTF-8."""
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises StorageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", str(path), "check the path") from error


Line = TypeVar("Line")


class Exchange(NamedTuple, Generic[Line]):
    """One turn as it came: the user's lines, then the assistant's; either may be empty, not both."""

    user: tuple[Line, ...]
    assistant: tuple[Line, ...]


def exchanges(lines: Iterable[Line], by_user: Callable[[Line], bool]) -> list[Exchange[Line]]:
    """Turns of a dialogue, in order. Lines in a row by one side join one turn; where the assistant opens, the first
    turn has no line of the user."""
    found: list[Exchange[Line]] = []
    user: list[Line] = []
    assistant: list[Line] = []
    for line in lines:
        if not by_user(line):
            assistant.append(line)
            continue
        if assistant:
            found.append(Exchange(tuple(user), tuple(assistant)))
            user, assistant = [], []
        user.append(line)
    if user or assistant:
        found.append(Exchange(tuple(user), tuple(assistant)))
    return found


def joined(texts: Iterable[str]) -> str:
    """Utterances of one side as the text of a turn."""
    return "\n".join(texts)
