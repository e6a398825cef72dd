"""Reading and writing of logs: streams of dialogues; rejected records are counted and kept in a quarantine file.

A log is a file, a folder of files, or `-` for standard input and output. labelgen's record files are JSON Lines (also
packed with gzip or zstd) or Parquet."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from labelgen.data.reader import READERS, Options, Reader, Remark, files_of, number_lines
from labelgen.data.record import LocatedDialogue, Rejected, decode, encode, locate
from labelgen.data.tables import Write, count_rows, parquet_writer, read_rows

WRITTEN_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
RECORD_SUFFIXES = (*WRITTEN_SUFFIXES, ".jsonl.zst")
"""Endings of the names of record files; zstd is only read."""

MAX_BAD_RATE = 0.01

_REMEMBERED_IDS = 1 << 18
_64_BITS = (1 << 64) - 1
_SHOWN = 20
_SHOWN_FILES = 10


def damage_reason(lines: int, error: DamagedError) -> str:
    """The reason to reject the rest of a damaged packed file. lines: how many were read before the damage."""
    return f"{error}; {lines:,} lines could be read, all behind them is lost"


def damaged_files_error(files: Sequence[str], where: str) -> InputError:
    """The error for files of which only a part could be read. where: the input or output of the command."""
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
    """Whether a file is empty or begins with a rejected record."""
    with path.open("rb") as file:
        first = file.readline()
    try:
        return not first or bool(msgspec.json.decode(first, type=Rejected).reason)
    except (msgspec.MsgspecError, RecursionError):
        return False


class Quarantine:
    """A file of rejected records, one JSON object a line.

    The first rejected record creates the file and replaces an earlier quarantine. reasons: counts by the first word of the
    reason. Raises UsageError if the path is another kind of file, such as the input log."""

    def __init__(self, path: Path) -> None:
        if path.is_dir() or (path.is_file() and not _holds_rejected(path)):
            raise UsageError(
                f"{path} exists and is not a quarantine file",
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
            # Unbuffered, so that the file can be inspected during the run.
            self._file = self.path.open("wb", buffering=0)
        self._file.write(msgspec.json.encode(item) + b"\n")
        self.reasons[item.reason.partition(":")[0]] += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def quarantine_text(reasons: Counter[str], where: object) -> str:
    """Summary for people: `3 records were set aside (bad_json 2, bad_type 1; in bad.jsonl)`.

    where: the quarantine file, or the option that creates one."""
    return f"{reasons.total():,} records were set aside ({reasons_text(reasons)}; {where})"


def reasons_text(reasons: Counter[str]) -> str:
    """Each reason with its count, the most frequent first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())


def shard_files(path: Path) -> list[Path]:
    """The record files at `path`: the file itself, or all files below a folder, sorted. Raises UsageError if there are none."""
    return files_of(path, RECORD_SUFFIXES)


def read_file(path: Path, name: str | None = None) -> Iterator[Dialogue | Rejected]:
    """The records of one file, in order.

    The rest of a damaged packed file is one Rejected. name: of the file in rejected records. Raises StorageError if the file
    cannot be read."""
    for item in read_located(path, name):
        yield item.dialogue if isinstance(item, LocatedDialogue) else item


def read_located(path: Path, name: str | None = None) -> Iterator[LocatedDialogue | Rejected]:
    """`read_file` with the location of each valid record. `-` is standard input."""
    name = name or str(path)
    if name == "-":
        yield from _lines(sys.stdin.buffer, name)
        return
    try:
        if path.suffix == ".parquet":
            yield from _rows(path, name)
        else:
            with decompressed(path) as file:
                yield from _lines(file, name)
    except OSError as error:
        raise StorageError(f"cannot read {name}: {error}", str(path), "check that the file is whole") from error


def _lines(lines: Iterable[bytes], name: str) -> Iterator[LocatedDialogue | Rejected]:
    """Records of JSON Lines; empty lines are skipped, and the rest of a damaged packed file is one Rejected."""
    number = 0
    try:
        for number, text in number_lines(lines):
            yield locate(decode(text, name, number), name, number, text)
    except DamagedError as error:
        yield Rejected(file=name, reason=damage_reason(number, error))


def _rows(path: Path, name: str) -> Iterator[LocatedDialogue | Rejected]:
    rows = count_rows(path)
    if isinstance(rows, str):
        yield Rejected(file=name, reason=rows)
    else:
        yield from read_rows(path, name, 0, rows)


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in [path] if str(path) == "-" else shard_files(path):
        yield from read_file(file)


def _labels(path: Path, options: Options) -> Sources:
    """Label sets from labels.json in the folder of the log."""
    labels_file = (path if path.is_dir() else path.parent) / "labels.json"
    return read_labels(labels_file) if labels_file.is_file() else {}


@contextmanager
def open_writer(path: Path | str, force: bool = False) -> Iterator[Write]:
    """Open a log for writing; yields a function that writes one dialogue to `path`: `.jsonl` , `.jsonl.gz`, `.parquet`, or `-` for
    standard output.

    The file appears complete at the end of the block; if the block raises, there is no file. Raises UsageError for another
    suffix, or if the file exists and force is false."""
    if str(path) == "-":
        with _write_lines(sys.stdout.buffer) as write:
            yield write
        return
    path = to_path(path)
    if not path.name.endswith(WRITTEN_SUFFIXES):
        raise UsageError(
            f"cannot tell the form of {path.name}", str(path), f"let the name end in {', '.join(WRITTEN_SUFFIXES)}"
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
    """Pairs of (folder, paths to read there), in order.

    Audio paths are relative to the folder of the record file, so labelgen's records are read folder by folder. A log of
    another format is one pair."""
    if format == "labelgen" and str(path) != "-":
        for folder, files in groupby(shard_files(path), key=lambda file: file.parent):
            yield folder, list(files)
    else:
        yield (path if path.is_dir() else path.parent), [path]


class Log:
    """The dialogues of one or several paths, in order. Iterate as often as needed; memory does not grow with the log.

    Rejected records go to the quarantine, if there is one. `reasons` counts them by the first word of their reason. A
    dialogue is also rejected if one of the last 262,144 dialogues had its id. `remarks` has what the reader tells about the whole
    log; the first pass prints it.

    options: of the reader: a value of its dataclass, or texts by name. quarantine: a file, which each pass rewrites; or an open Quarantine, which logs may share and which stays open.
    refuses: the reason to reject a dialogue with a valid record, or None. folder: the folder that the audio paths of the
    current dialogue are relative to; None for remote storage, from which audio is not read.

    Raises UsageError for a format other than labelgen's on standard input. At the end of a pass, raises InputError (exit
    code 3) if more than `max_bad_rate` of the records were rejected. It is also raised for a damaged file, unless the rate
    is 1, because the number of lost records is unknown."""

    def __init__(
        self,
        paths: Sequence[Path | str],
        format: str = "labelgen",
        options: Mapping[str, str] | Options | None = None,
        quarantine: Path | Quarantine | None = None,
        max_bad_rate: float = MAX_BAD_RATE,
        refuses: Callable[[Dialogue], Refusal | None] | None = None,
    ) -> None:
        self.reader: Reader = resolve(READERS, format, "format")
        self.options: Options = self.reader.make_options(options or {})
        if format != "labelgen" and "-" in map(str, paths):
            raise UsageError(
                f"a log of the form {format!r} is not read from standard input", "-", "name its file or folder"
            )
        self.format = format
        self.paths = [to_path(p) for p in paths]
        keep_private(path for path in self.paths if str(path) != "-")
        self.folder: Path | None = None
        self.quarantine = quarantine
        self.max_bad_rate = max_bad_rate
        self.refuses = refuses
        self.kept = 0
        self.reasons: Counter[str] = Counter()
        self.remarks: list[str] = []
        self._reported = self._remarked = False

    def labels(self) -> Sources:
        """The label sets that the corpus publishes; empty if there are none."""
        sources: Sources = {}
        for path in self.paths:
            sources = merge(sources, self.reader.labels(path, self.options))
        return sources

    def __iter__(self) -> Iterator[Dialogue]:
        for item in self.located():
            yield item.dialogue

    def located(self) -> Iterator[LocatedDialogue]:
        """The valid records with the lines or rows that they were read from."""
        self.kept, self.reasons, self.remarks = 0, Counter(), []
        damaged: list[str] = []
        first: Rejected | None = None
        bad = Quarantine(self.quarantine) if isinstance(self.quarantine, Path) else self.quarantine
        try:
            for item in self._unique():
                if isinstance(item, LocatedDialogue):
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
        if not self._remarked:
            self._remarked = True
            print_lines(*self.remarks, file=sys.stderr)
        if damaged and self.max_bad_rate < 1:
            raise damaged_files_error(damaged, f"{self.kept:,} records were read")
        self._judge(first)

    def _unique(self) -> Iterator[LocatedDialogue | Rejected]:
        # Hashes of ids in two generations, of which the older is forgotten, bound the memory of a log without end.
        seen, older = set[int](), set[int]()
        for item in self._read():
            if isinstance(item, Rejected):
                yield item
                continue
            dialogue = item.dialogue
            digest = hash(dialogue.id) & _64_BITS
            if digest in seen or digest in older:
                yield item.rejected("id", "doubled_id: a dialogue with this id stands earlier in the log")
                continue
            if len(seen) == _REMEMBERED_IDS:
                seen, older = set[int](), seen
            seen.add(digest)
            why = None if self.refuses is None else self.refuses(dialogue)
            yield item if why is None else item.rejected(why.field, why.reason)

    def _read(self) -> Iterator[LocatedDialogue | Rejected]:
        for path in self.paths:
            for folder, parts in by_folder(path, self.format):
                for part in parts:
                    for item in self._placed(part):
                        self.folder = None if is_remote(part) else folder
                        yield item

    def _placed(self, part: Path) -> Iterator[LocatedDialogue | Rejected]:
        if self.format == "labelgen":
            yield from read_located(part)
            return
        for item in self.reader.read(part, self.options):
            if isinstance(item, Remark):
                self.remarks.append(item.text)
                continue
            yield item if isinstance(item, Rejected) else LocatedDialogue(item, str(part))

    def _judge(self, first: Rejected | None) -> None:
        bad = sum(self.reasons.values())
        rate = bad / (bad + self.kept) if bad else 0.0
        if first is None:
            return
        if rate <= self.max_bad_rate:
            if not self._reported:
                self._reported = True
                where = f"in {self.quarantine}" if self.quarantine else "--quarantine FILE keeps them"
                print_lines(quarantine_text(self.reasons, where), file=sys.stderr)
            return
        counts = reasons_text(self.reasons)
        kept = f"; all of them are in {self.quarantine}" if self.quarantine else ""
        raise InputError(
            f"{bad:,} of {bad + self.kept:,} records are bad ({rate:.1%}), more than the {self.max_bad_rate:.1%} allowed: {counts}",
            f"the first: {first.where()}: {first.reason}",
            f"{f'{first.hint}, or ' if first.hint else ''}fix the records or raise --max-bad-rate{kept}",
        )


def write_log(
    path: Path | str, dialogues: Iterable[Dialogue], labels: Sources | None = None, force: bool = False
) -> int:
    """Write a log as `.jsonl`, `.jsonl.gz`, `.jsonl.zst` or `.parquet`, or to standard output for `-`; returns the number of
    dialogues.

    `labels` go to labels.json in the same folder. Raises UsageError for another suffix, or if the file exists and force is false."""
    count = 0
    with open_writer(path, force) as write:
        for dialogue in dialogues:
            write(dialogue)
            count += 1
    if labels and str(path) != "-":
        write_labels(to_path(path).parent / "labels.json", labels)
    return count


def require_annotators(
    dialogues: Iterable[Dialogue], names: Iterable[str | None], option: str, elsewhere: Iterable[Dialogue] = ()
) -> Iterator[Dialogue]:
    """Pass dialogues on; raise UsageError at their end if an annotator of these names is in none of them.

    elsewhere: more dialogues to search. option: the option with the names, for the message. Without any dialogue nothing is
    raised."""
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
        shown = ", ".join(list(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise UsageError(
            f"nobody annotated as {', '.join(sorted(missed))}",
            option,
            f"the log's annotators: {shown}" if known else "the log has no annotations",
        )
