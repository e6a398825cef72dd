"""Reading and writing whole logs: streams of dialogues, with what is bad set aside and counted."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import is_remote, keep_private, to_path
from labelgen.base.registry import resolve
from labelgen.base.terminal import print_lines
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Refusal, Sources, merge, write_labels
from labelgen.data.own import open_writer, read_placed, shard_files
from labelgen.data.quarantine import Quarantine, Rejected, loss, told
from labelgen.data.reader import READERS, Options, Reader
from labelgen.data.record import Placed

MAX_BAD_RATE = 0.01

_REMEMBERED_IDS = 1 << 18
_SHOWN = 20


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
