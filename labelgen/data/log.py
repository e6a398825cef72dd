"""Reading and writing of logs: streams of dialogues; rejected records are counted and kept in a quarantine file.

A log is a file, a folder of files, or `-` for standard input and output. labelgen's record files are JSON Lines (also
packed with gzip or zstd) or Parquet."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.errors import InputError, StorageError, UsageError
from labelgen.base.files import (
    DamagedError,
    atomic_write,
    compressed,
    decompressed,
    fresh_file,
    is_remote,
    keep_private,
    to_path,
)
from labelgen.base.registry import resolve
from labelgen.base.terminal import print_lines
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Refusal, Sources, merge, read_labels, write_labels
from labelgen.data.reader import READERS, Options, Reader, files_of, numbered
from labelgen.data.record import Placed, Rejected, decode, encode, placed
from labelgen.data.tables import Write, count_rows, parquet_writer, read_rows

RECORD_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""Endings of the names of record files."""

MAX_BAD_RATE = 0.01

_REMEMBERED_IDS = 1 << 18
_SHOWN = 20
_SHOWN_FILES = 10


def behind(lines: int, error: DamagedError) -> str:
    """The reason for the rest of a packed file, of which so many lines could be read."""
    return f"{error}; {lines:,} lines could be read, all behind them is lost"


def loss(files: Sequence[str], where: str) -> InputError:
    """The error of a command that could read these files in part only. where: what it read or wrote."""
    shown = ", ".join(files[:_SHOWN_FILES]) + (
        f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
    )
    one = len(files) == 1
    return InputError(
        f"{shown} {'is' if one else 'are'} damaged: what could be read was read, and how many records are lost is not known",
        where,
        f"replace {'it by a whole copy' if one else 'them by whole copies'} and run the same command again; a bad rate of "
        "1 (--max-bad-rate, data.max_bad_rate of a training) accepts the loss",
    )


def _holds_rejected(path: Path) -> bool:
    """Whether a file is empty or begins with what was rejected."""
    with path.open("rb") as file:
        first = file.readline()
    try:
        return not first or bool(msgspec.json.decode(first, type=Rejected).reason)
    except (msgspec.MsgspecError, RecursionError):
        return False


class Quarantine:
    """A file of rejected records, one JSON object a line. It is made with the first of them, and then replaces one that
    was there. reasons: how many, by the first word of their reason. Raises UsageError for a path that holds anything else, such as
    the log that is read."""

    def __init__(self, path: Path) -> None:
        if path.is_dir() or (path.is_file() and not _holds_rejected(path)):
            raise UsageError(
                f"{path} is no quarantine, and would be overwritten",
                "--quarantine",
                "name another file, such as quarantine.jsonl",
            )
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._file: IO[bytes] | None = None

    def __str__(self) -> str:
        return str(self.path)

    def add(self, item: Rejected) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what was set aside can be looked at while the rest is at work.
            self._file = self.path.open("wb", buffering=0)
        self._file.write(msgspec.json.encode(item) + b"\n")
        self.reasons[item.reason.partition(":")[0]] += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def told(reasons: Counter[str], where: object) -> str:
    """For people: `3 records were set aside (bad_json 2, bad_type 1; in bad.jsonl)`. where: the file, or how to have
    one."""
    counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    return f"{reasons.total():,} records were set aside ({counts}; {where})"


def shard_files(path: Path) -> list[Path]:
    """The record files at `path`: itself, or all below a folder, sorted. Raises UsageError if there are none."""
    return files_of(path, RECORD_SUFFIXES)


def read_file(path: Path, name: str | None = None) -> Iterator[Dialogue | Rejected]:
    """The records of one file, in order; what is behind the place where a packed file is damaged is one rejected record. `name` is
    what the file is called in what is rejected. Raises StorageError if it cannot be read."""
    return map(_bare, read_placed(path, name))


def read_placed(path: Path, name: str | None = None) -> Iterator[Placed | Rejected]:
    """The same, each good record with its place. `-` is standard input."""
    name = name or str(path)
    if name == "-":
        yield from _lines(sys.stdin.buffer, name)
        return
    try:
        yield from _rows(path, name) if path.suffix == ".parquet" else _packed_lines(path, name)
    except OSError as error:
        raise StorageError(f"cannot read {name}: {error}", str(path), "check that the file is whole") from error


def _lines(lines: Iterable[bytes], name: str) -> Iterator[Placed | Rejected]:
    """JSON Lines; empty lines are passed over."""
    for number, text in numbered(lines):
        yield placed(decode(text, name, number), name, number, text)


def _packed_lines(path: Path, name: str) -> Iterator[Placed | Rejected]:
    number = 0
    with decompressed(path) as file:
        try:
            for number, text in numbered(file):
                yield placed(decode(text, name, number), name, number, text)
        except DamagedError as error:
            yield Rejected(file=name, reason=behind(number, error))


def _rows(path: Path, name: str) -> Iterator[Placed | Rejected]:
    rows = count_rows(path)
    if isinstance(rows, str):
        yield Rejected(file=name, reason=rows)
    else:
        yield from read_rows(path, name, 0, rows)


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in [path] if str(path) == "-" else shard_files(path):
        yield from read_file(file)


def _bare(item: Placed | Rejected) -> Dialogue | Rejected:
    return item.dialogue if isinstance(item, Placed) else item


def _labels(path: Path, options: Options) -> Sources:
    """labels.json in the folder, or beside the file."""
    beside = (path if path.is_dir() else path.parent) / "labels.json"
    return read_labels(beside) if beside.is_file() else {}


@contextmanager
def open_writer(path: Path | str, force: bool = False) -> Iterator[Write]:
    """A function that writes one dialogue to `path`: `.jsonl` (also packed: `.jsonl.gz`, `.jsonl.zst`), `.parquet`, or
    `-` for standard output.

    The file is there, whole, once the block is left; where the block raises, nothing is. Raises UsageError for another
    ending, or if the file exists without force."""
    if str(path) == "-":
        with _write_lines(sys.stdout.buffer) as write:
            yield write
        return
    path = to_path(path)
    if not path.name.endswith(RECORD_SUFFIXES):
        raise UsageError(
            f"cannot tell the form of {path.name}", str(path), f"let the name end in {', '.join(RECORD_SUFFIXES)}"
        )
    fresh_file(path, force)
    form = parquet_writer if path.suffix == ".parquet" else _write_lines
    with atomic_write(path) as file, compressed(file, path.name) as to, form(to) as write:
        yield write


@contextmanager
def _write_lines(file: IO[bytes]) -> Iterator[Write]:
    def write(dialogue: Dialogue) -> None:
        file.write(encode(dialogue) + b"\n")

    yield write


READER = Reader(_read, _labels)


def by_folder(path: Path, format: str) -> Iterator[tuple[Path, list[Path]]]:
    """(folder, what is read there) of a log: audio paths start from the folder of the record's own file, so own records are
    read folder by folder, in order; of another form the log is one."""
    if format == "labelgen" and str(path) != "-":
        for folder, files in groupby(shard_files(path), key=lambda file: file.parent):
            yield folder, list(files)
    else:
        yield (path if path.is_dir() else path.parent), [path]


class Log:
    """The dialogues of one or several paths, in order. Iterate as often as needed; memory does not grow with the log.

    Rejected records go to the quarantine, if there is one, and are counted by the first word of their reason in
    `reasons`; a dialogue whose id was seen before among the last quarter of a million is rejected too. At the end of a
    pass, InputError (exit code 3) is raised where more than `max_bad_rate` of the records were rejected, or where a file is damaged
    and the rate is not 1: how many records are lost with it is not known.

    Raises UsageError for a form other than labelgen's own on standard input. refuses: why a dialogue, though its record is good, is
    rejected; None for one that is not.
    quarantine: a file, begun anew with each pass; or an open Quarantine, which other logs may share and which is left
    open. folder: that the audio paths of the dialogue last given start from; None where it lies in a store, from which no
    sound is read."""

    def __init__(
        self,
        paths: Sequence[Path | str],
        format: str = "labelgen",
        options: Options | None = None,
        quarantine: Path | Quarantine | None = None,
        max_bad_rate: float = MAX_BAD_RATE,
        refuses: Callable[[Dialogue], Refusal | None] | None = None,
    ) -> None:
        self.reader: Reader = resolve(READERS, format, "format")
        self.reader.check(options or {})
        if format != "labelgen" and "-" in map(str, paths):
            raise UsageError(
                f"a log of the form {format!r} is not read from standard input", "-", "name its file or folder"
            )
        self.format = format
        self.paths = [to_path(p) for p in paths]
        keep_private(path for path in self.paths if str(path) != "-")
        self.folder: Path | None = None
        self.options: Options = options or {}
        self.quarantine = quarantine
        self.max_bad_rate = max_bad_rate
        self.refuses = refuses
        self.kept = 0
        self.reasons: Counter[str] = Counter()
        self._told = False

    def labels(self) -> Sources:
        """The label sets that the corpus publishes; empty where it publishes none."""
        found: Sources = {}
        for path in self.paths:
            found = merge(found, self.reader.labels(path, self.options))
        return found

    def __iter__(self) -> Iterator[Dialogue]:
        self.kept, self.reasons = 0, Counter()
        damaged: list[str] = []
        first: Rejected | None = None
        bad = Quarantine(self.quarantine) if isinstance(self.quarantine, Path) else self.quarantine
        try:
            for item in self._unique():
                if isinstance(item, Dialogue):
                    self.kept += 1
                    yield item
                    continue
                first = first or item
                if item.is_damage:
                    damaged.append(item.file)
                self.reasons[item.reason.partition(":")[0]] += 1
                if bad is not None:
                    bad.add(item)
        finally:
            if bad is not None and bad is not self.quarantine:
                bad.close()
        if damaged and self.max_bad_rate < 1:
            raise loss(damaged, f"{self.kept:,} records were read")
        self._judge(first)

    def _unique(self) -> Iterator[Dialogue | Rejected]:
        # Two generations of ids, of which the older is forgotten, bound the memory of a log without end.
        seen: set[str] = set()
        older: set[str] = set()
        for item in self._read():
            if isinstance(item, Rejected):
                yield item
                continue
            dialogue = item.dialogue
            if dialogue.id in seen or dialogue.id in older:
                yield item.rejected("id", "doubled_id: a dialogue with this id stands earlier in the log")
                continue
            if len(seen) == _REMEMBERED_IDS:
                seen, older = set(), seen
            seen.add(dialogue.id)
            why = None if self.refuses is None else self.refuses(dialogue)
            yield dialogue if why is None else item.rejected(why.field, why.reason)

    def _read(self) -> Iterator[Placed | Rejected]:
        for path in self.paths:
            for folder, parts in by_folder(path, self.format):
                for part in parts:
                    for item in self._placed(part):
                        self.folder = None if is_remote(part) else folder
                        yield item

    def _placed(self, part: Path) -> Iterator[Placed | Rejected]:
        if self.format == "labelgen":
            yield from read_placed(part)
            return
        for item in self.reader.read(part, self.options):
            yield item if isinstance(item, Rejected) else Placed(item, str(part))

    def _judge(self, first: Rejected | None) -> None:
        bad = sum(self.reasons.values())
        rate = bad / (bad + self.kept) if bad else 0.0
        if first is None:
            return
        if rate <= self.max_bad_rate:
            if not self._told:
                self._told = True
                where = f"in {self.quarantine}" if self.quarantine else "--quarantine FILE keeps them"
                print_lines(told(self.reasons, where), file=sys.stderr)
            return
        counts = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common())
        kept = f"; all of them are in {self.quarantine}" if self.quarantine else ""
        raise InputError(
            f"{bad:,} of {bad + self.kept:,} records are bad ({rate:.1%}), more than the {self.max_bad_rate:.1%} allowed: {counts}",
            f"the first: {first.where()}: {first.reason}",
            f"fix the records or raise --max-bad-rate{kept}",
        )


def write_log(
    path: Path | str, dialogues: Iterable[Dialogue], labels: Sources | None = None, force: bool = False
) -> int:
    """Write a log as `.jsonl`, `.jsonl.gz`, `.jsonl.zst` or `.parquet`, or to standard output for `-`; gives the number of dialogues.

    `labels` go to labels.json beside it. Raises UsageError for another ending, or if the file exists without force."""
    count = 0
    with open_writer(path, force) as write:
        for dialogue in dialogues:
            write(dialogue)
            count += 1
    if labels and str(path) != "-":
        write_labels(to_path(path).parent / "labels.json", labels)
    return count


def with_named(
    dialogues: Iterable[Dialogue], names: Iterable[str | None], option: str, elsewhere: Iterable[Dialogue] = ()
) -> Iterator[Dialogue]:
    """The dialogues as they come. Raises UsageError at their end where an annotator of these names is in none of them, nor in those
    that lie elsewhere; in no dialogue at all nobody is missed. option: what gave the names."""
    missed = {name for name in names if name is not None}
    # Some logs have an annotator a dialogue; so many are not remembered.
    known: dict[str, None] = {}
    count = 0

    def see(dialogue: Dialogue) -> None:
        for annotation in dialogue.annotations:
            missed.discard(annotation.annotator)
            if len(known) <= _SHOWN:
                known[annotation.annotator] = None

    for dialogue in elsewhere:
        see(dialogue)
    for dialogue in dialogues:
        see(dialogue)
        count += 1
        yield dialogue
    if missed and count:
        told = ", ".join(list(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise UsageError(
            f"nobody annotated as {', '.join(sorted(missed))}",
            option,
            f"the log's annotators: {told}" if known else "the log has no annotations",
        )
