"""labelgen data: validate, convert, count and split logs."""

import heapq
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_write, fresh_folder
from labelgen.base.options import ARGUMENT, WholeNumber
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import (
    Command,
    ForceOptions,
    FormOptions,
    LogOptions,
    OneLogOptions,
    ReadOptions,
    RewriteOptions,
    fresh_log,
    joined,
    open_log,
    write_lines,
)
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Names, merge, write_labels
from labelgen.data.log import RECORD_SUFFIXES, Log, Quarantine, open_writer, shard_files, write_log
from labelgen.data.split import position
from labelgen.data.stats import LogStats, log_stats, spread
from labelgen.data.tables import open_table_writer
from labelgen.report.terminal import PlainConsole
from labelgen.steps.export import RecordsOptions, exported, label_table
from labelgen.steps.split import SplitOptions, divide

_SHOWN_LABELS = 8


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(FormOptions):
    """Validate a log: read all records, count the valid ones and the rejected ones by reason, and what is in them: turns, words, feedback,
    annotators, labels of each task, signals and targets. The exit code is 3 if the share of rejected records is above --max-bad-rate."""


def validate(options: ValidateOptions) -> None:
    """Read the log, and print the counts; where too many records are rejected, only theirs."""
    log, silent = open_log(options), 0

    def read() -> Iterator[Dialogue]:
        nonlocal silent
        for dialogue in progress(log, "validate", "dialogues"):
            silent += not any(turn.request or turn.response for turn in dialogue.turns)
            yield dialogue

    console = PlainConsole()
    try:
        counts = log_stats(read())
    finally:
        _table(console, ("records", ">count"), [("good", log.kept), *sorted(log.reasons.items())])
    _print(counts, console)
    if silent:
        print_lines(f"warning: {silent:,} dialogues have no text at all; look whether it stands in another field")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(FormOptions, ForceOptions):
    """Convert logs to labelgen's record form. A file labels.json is written next to the output: the label names that the corpus
    publishes, and those in its annotations."""

    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""
    sample: WholeNumber | None = None
    """number of dialogues in the output, drawn by a hash of their ids; all without a value"""
    seed: WholeNumber = 0
    """seed of the sample"""


def convert(options: ConvertOptions) -> None:
    """Write the records and their label names."""
    log = open_log(options)
    dialogues = log if options.sample is None else _sample(log, options.sample, options.seed)
    write_converted(log, dialogues, options.out, options.force, options.log)


def write_converted(log: Log, dialogues: Iterable[Dialogue], out: str, force: bool, made_from: Sequence[str]) -> None:
    """Write dialogues of a log and their label names, and print their number."""
    fresh_log(out, force, made_from)
    names, count, feedback = Names(), 0, Counter[str]()
    with open_writer(out, force) as write:
        for dialogue in progress(dialogues, "convert", "dialogues"):
            for annotation in dialogue.annotations:
                for label in annotation.labels:
                    names.add(dialogue.source, label.task, (label.name,))
            feedback.update(x.kind for x in dialogue.feedback)
            feedback.update(x.kind for turn in dialogue.turns for x in turn.feedback)
            write(dialogue)
            count += 1
        if not log.kept:
            raise UsageError(
                f"no dialogue was read; {log.reasons.total():,} records were rejected",
                ", ".join(map(str, log.paths)),
                "check the path, --format and its --option; labelgen data convert --help lists the formats",
            )
    if out != "-":
        labels = Path(out).parent / "labels.json"
        write_labels(labels, merge(log.labels(), names.sources()))
        rejected = log.reasons.total()
        tail = f"; {rejected:,} records rejected" if rejected else ""
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(feedback.items()))
        known = f"; feedback: {kinds}" if kinds else ""
        print_lines(f"{count:,} dialogues in {Path(out)}, label names in {labels}{known}{tail}")


def _sample(dialogues: Iterable[Dialogue], count: int, seed: int) -> Iterator[Dialogue]:
    """The `count` dialogues whose ids hash lowest, in their order; memory holds no more than these."""
    heap: list[tuple[float, int, Dialogue]] = []
    for order, dialogue in enumerate(dialogues):
        # The heap's first is the one to go: the highest hash, and of equal ones the last.
        item = (-position(seed, dialogue.id), -order, dialogue)
        if len(heap) < count:
            heapq.heappush(heap, item)
        elif heap:
            heapq.heappushpop(heap, item)
    yield from (dialogue for _, _, dialogue in sorted(heap, key=lambda item: -item[1]))


@dataclass(frozen=True, kw_only=True)
class SplitCommand(SplitOptions, LogOptions, ForceOptions):
    out: Annotated[Path, ARGUMENT]
    """output folder for NAME.jsonl of each part, and labels.json"""


def split(options: SplitCommand) -> None:
    """Write the parts, and print their sizes."""
    log = open_log(options)
    divided = divide(log, options)
    out = fresh_folder(options.out, options.force)
    files = {part.name: out / f"{part.name}.jsonl" for part in divided.parts}
    for path in files.values():
        fresh_log(path, options.force, options.log)
    if others := sorted(p.name for p in out.iterdir() if p.name.endswith(RECORD_SUFFIXES) and p not in files.values()):
        raise UsageError(
            f"{out} also contains {', '.join(others)}, which may share users with the new parts",
            str(out),
            "remove files that are not part of this split, or name another folder",
        )
    kept = Counter[str]()
    with ExitStack() as stack:
        write = {name: stack.enter_context(open_writer(path, options.force)) for name, path in files.items()}
        for part, dialogue in progress(divided.dialogues, "split", "dialogues"):
            write[part](dialogue)
            kept[part] += 1
    if labels := log.labels():
        write_labels(out / "labels.json", labels)
    heads = ("part", ">dialogues", f">copies of {divided.parts[0].name} left out")
    _table(PlainConsole(), heads, [(name, kept[name], divided.copies[name]) for name in files])


@dataclass(frozen=True, kw_only=True)
class LabelsOptions(OneLogOptions, ForceOptions):
    """Write the labels of a log as a flat table: one row for each label, each answer "none", and each field that a model left open."""

    out: Annotated[Path, ARGUMENT]
    """output file: .csv or .parquet"""
    annotator: Annotated[tuple[str, ...], "NAME"] = ()
    """annotator whose labels are written; all without a value"""


def labels_command(options: LabelsOptions) -> None:
    """Write the table, and print its size."""
    fresh_log(options.out, options.force, [options.log])
    log, counts = open_log(options), Counter[str]()
    with open_table_writer(options.out, options.force) as write:
        for row in label_table(progress(log, "labels", "dialogues"), options.annotator):
            write(row)
            counts[row["annotator"]] += 1
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    print_lines(f"{counts.total():,} rows from {log.kept:,} dialogues in {options.out}{f': {shown}' if shown else ''}")


def export(options: Any) -> None:
    """Write the records, and print their number and what was left out."""
    fresh_log(options.out, options.force, [options.log])
    made = exported(progress(open_log(options), "export", "dialogues"), options)
    lines = [f"{write_lines(options.out, made.records):,} records in {options.out}"]
    lines += (f"left out: {reason}, {count:,}" for reason, count in made.left_out.most_common())
    print_lines(*lines, file=sys.stderr if options.out == "-" else sys.stdout)


def _print(stats: LogStats, console: Console) -> None:
    console.print(f"{stats.dialogues:,} dialogues, {stats.turns:,} turns, {len(stats.users):,} known users")
    if stats.sources:
        console.print("sources: " + ", ".join(f"{name} {n:,}" for name, n in sorted(stats.sources.items())))
    counted = {
        "turns a dialogue": stats.turns_of_dialogue,
        "words a request": stats.request_words,
        "words a response": stats.response_words,
    }
    sizes = [
        (name, s.least, s.median, s.p95, s.most, f"{s.mean:,.1f}", counts[0])
        for name, counts in counted.items()
        if (s := spread(counts))
    ]
    _table(console, ("", ">least", ">median", ">95%", ">most", ">mean", ">empty"), sizes)
    shares = [(name, n, f"{n / stats.turns:.1%}") for name, n in sorted(stats.turn_fields.items())]
    _table(console, ("field of a turn", ">count", ">share"), shares)
    _counts(console, "feedback", {" ".join(key).strip(): n for key, n in stats.feedback.items()})
    _counts(console, "annotator", stats.annotators)
    labels = [
        (kind, task, item.annotations, item.fields, item.none, _most_frequent(item.labels))
        for (kind, task), item in sorted(stats.tasks.items())
    ]
    heads = ("annotators", "task", ">annotations", ">answers", ">none", "labels, most frequent first")
    _table(console, heads, labels)
    if stats.goals:
        console.print(f"{stats.goals:,} goals; {stats.returning:,} annotations return to an earlier goal")
    _counts(console, "signal", {" ".join(key): n for key, n in stats.signals.items()})
    _counts(console, "target", stats.targets)


def _most_frequent(labels: Counter[str]) -> str:
    shown = ", ".join(f"{name} {n:,}" for name, n in labels.most_common(_SHOWN_LABELS))
    more = len(labels) - _SHOWN_LABELS
    return f"{shown}, and {more:,} more names" if more > 0 else shown


def _counts(console: Console, head: str, counts: Mapping[str, int]) -> None:
    _table(console, (head, ">count"), sorted(counts.items()))


def _table(console: Console, heads: Iterable[str], rows: Sequence[tuple[str | int, ...]]) -> None:
    """A plain table of rows, if there are any; columns whose head starts with `>` hold numbers."""
    table = columns(*heads)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, str) else f"{cell:,}" for cell in row))
    if rows:
        console.print(table)


def columns(*heads: str) -> Table:
    """A plain table; columns whose head starts with `>` hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head.removeprefix(">"), justify="right" if head.startswith(">") else "left")
    return table


@dataclass(frozen=True, kw_only=True)
class FilterOptions(ReadOptions, ForceOptions):
    """Write logs without the records of users or dialogues. Files without such records are copied as they are."""

    log: Annotated[Path, ARGUMENT]
    """file or folder of records"""
    out: Annotated[Path, ARGUMENT]
    """output: a file for a file, a folder for a folder"""
    without_user: Annotated[tuple[str, ...], "ID"] = ()
    """user whose records are left out"""
    without_dialogue: Annotated[tuple[str, ...], "ID"] = ()
    """dialogue that is left out"""

    def check(self) -> None:
        """Raises UsageError without an id."""
        if not self.without_user and not self.without_dialogue:
            raise UsageError("no user and no dialogue is named", "--without-user, --without-dialogue", "give an id")


def filter_command(options: FilterOptions) -> None:
    """Write the files, and print how many records were left out."""
    files = shard_files(options.log)
    root, out = options.log.resolve(), options.out.resolve()
    if out == root or root.is_relative_to(out) or (root.is_dir() and out.is_relative_to(root)):
        raise UsageError(f"{options.out} is read and would be overwritten", str(options.out), "name another output")
    if packed := next((file for file in files if file.suffix == ".zst"), None):
        raise UsageError(
            "zstd is read and not written", str(packed), "write it as .jsonl.gz with labelgen data convert"
        )
    if options.log.is_dir():
        fresh_folder(options.out, options.force)
    quarantine = None if options.quarantine is None else Quarantine(options.quarantine)
    for file in files:
        target = options.out / file.relative_to(options.log) if options.log.is_dir() else options.out
        log = open_log(options, [str(file)], quarantine=quarantine)
        count = write_log(target, (dialogue for dialogue in log if _is_kept(dialogue, options)), None, options.force)
        if count == log.kept and not log.reasons and target.suffixes == file.suffixes:
            with atomic_write(target) as to, file.open("rb") as whole:
                shutil.copyfileobj(whole, to)
        print_lines(f"{log.kept - count:,} of {log.kept:,} dialogues left out of {target}")
    if quarantine is not None:
        quarantine.close()


def _is_kept(dialogue: Dialogue, options: FilterOptions) -> bool:
    return dialogue.user not in options.without_user and dialogue.id not in options.without_dialogue


VALIDATE = Command(ValidateOptions, validate, "logs/ --quarantine bad.jsonl")
CONVERT = Command(ConvertOptions, convert, "star/ star.jsonl --format star --sample 500 --seed 1")
SPLIT = Command(SplitCommand, split, "log.jsonl parts/ --parts train=0.8,valid=0.1,test=0.1")
FILTER = Command(FilterOptions, filter_command, "logs/ filtered/ --without-user u17")
LABELS = Command(LabelsOptions, labels_command, "labeled/ labels.csv")
EXPORT = Command(
    joined(RecordsOptions, RewriteOptions),
    export,
    "labeled/ chats.jsonl --form sft --min-probability 0.8\nlabeled/ scores.jsonl --form langfuse",
)
