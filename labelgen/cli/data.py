"""labelgen data: validate, convert, count and split logs."""

import heapq
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from rich.console import Console
from rich.table import Table

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_write, fresh_folder
from labelgen.base.options import ARGUMENT, WholeNumber
from labelgen.base.terminal import print_lines, printable_json, progress
from labelgen.cli.command import Command, ForceOptions, LogOptions, OneLogOptions, ReadOptions, fresh_log, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Names, merge, write_labels
from labelgen.data.label_table import label_rows, open_table_writer
from labelgen.data.log import RECORD_SUFFIXES, Quarantine, open_writer, require_annotators, shard_files, write_log
from labelgen.data.split import position
from labelgen.data.stats import LogStats, log_stats, spread
from labelgen.report.terminal import PlainConsole
from labelgen.steps.export import TrainingDataOptions, training_data
from labelgen.steps.push import PushOptions, push, send
from labelgen.steps.split import SplitOptions, divide

_SHOWN_LABELS = 8


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(LogOptions):
    """Validate a log: read all records, and count the valid ones, and the rejected ones by reason. The exit code is 3 if the share of
    rejected records is above --max-bad-rate."""


def validate(options: ValidateOptions) -> None:
    """Read the log, and print the counts, also where too many records are rejected."""
    log = open_log(options, options.log)
    try:
        turns = silent = 0
        for dialogue in progress(log, "validate", "dialogues"):
            turns += len(dialogue.turns)
            silent += not any(turn.request or turn.response for turn in dialogue.turns)
    finally:
        table = columns("records", ">count")
        table.add_row("good", f"{log.kept:,}")
        for reason, count in sorted(log.reasons.items()):
            table.add_row(reason, f"{count:,}")
        PlainConsole().print(table)
    print_lines(f"{turns:,} turns in {log.kept:,} dialogues")
    if silent:
        print_lines(f"warning: {silent:,} dialogues have no text at all; look whether it stands in another field")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(LogOptions, ForceOptions):
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
    log = open_log(options, options.log)
    dialogues: Iterable[Dialogue] = progress(log, "convert", "dialogues")
    if options.sample is not None:
        dialogues = _sample(dialogues, options.sample, options.seed)
    fresh_log(options.out, options.force, options.log)
    names = Names()
    count = 0
    with open_writer(options.out, options.force) as write:
        for dialogue in dialogues:
            for annotation in dialogue.annotations:
                for label in annotation.labels:
                    names.add(dialogue.source, label.task, (label.name,))
            write(dialogue)
            count += 1
        if not count:
            raise UsageError(
                f"no dialogue was read; {log.reasons.total():,} records were rejected",
                ", ".join(map(str, options.log)),
                "check the path, --format and its --option; labelgen data convert --help lists the formats",
            )
    if options.out != "-":
        labels = Path(options.out).parent / "labels.json"
        write_labels(labels, merge(log.labels(), names.sources()))
        rejected = log.reasons.total()
        tail = f"; {rejected:,} records rejected" if rejected else ""
        print_lines(f"{count:,} dialogues in {Path(options.out)}, label names in {labels}{tail}")


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
    suffix: Literal[".jsonl", ".parquet"] = ".jsonl"
    """suffix of the output files"""


def split(options: SplitCommand) -> None:
    """Write the parts, and print their sizes."""
    log = open_log(options, options.log)
    divided = divide(log, options)
    out = fresh_folder(options.out, options.force)
    files = {part.name: out / (part.name + options.suffix) for part in divided.parts}
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
    table = columns("part", ">dialogues", f">copies of {divided.parts[0].name} left out")
    for name in files:
        table.add_row(name, f"{kept[name]:,}", f"{divided.copies[name]:,}")
    PlainConsole().print(table)


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
    log = open_log(options, [options.log])
    counts: Counter[str] = Counter()
    with open_table_writer(options.out, options.force) as write:
        for dialogue in progress(require_annotators(log, options.annotator, "--annotator"), "labels", "dialogues"):
            for annotation in dialogue.annotations:
                if not options.annotator or annotation.annotator in options.annotator:
                    for row in label_rows(dialogue, annotation):
                        write(row)
                        counts[annotation.annotator] += 1
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    print_lines(f"{counts.total():,} rows from {log.kept:,} dialogues in {options.out}{f': {shown}' if shown else ''}")


@dataclass(frozen=True, kw_only=True)
class TrainingDataCommand(TrainingDataOptions, OneLogOptions, ForceOptions):
    out: Annotated[Path, ARGUMENT]
    """output file: .jsonl"""


def export(options: TrainingDataCommand) -> None:
    """Write the records, and print their number and what was left out."""
    if options.out.suffix != ".jsonl":
        raise UsageError(f"cannot tell the form of {options.out.name}", str(options.out), "let the name end in .jsonl")
    fresh_log(options.out, options.force, [options.log])
    log = open_log(options, [options.log])
    made = training_data(progress(log, "export", "dialogues"), options)
    kept = 0
    with atomic_write(options.out) as file:
        for record in made.records:
            file.write(msgspec.json.encode(record) + b"\n")
            kept += 1
    print_lines(f"{kept:,} records in {options.out}")
    print_lines(*(f"left out: {reason}, {count:,}" for reason, count in made.left_out.most_common()))


@dataclass(frozen=True, kw_only=True)
class PushCommand(PushOptions, OneLogOptions, ForceOptions):
    out: Annotated[Path, ARGUMENT]
    """output file: .jsonl, with the body of each score"""
    url: Annotated[str | None, "URL"] = None
    """server to send them to, such as https://cloud.langfuse.com; none without a value"""
    header: Mapping[str, str] = field(default_factory=dict)
    """header of requests, such as Authorization='Basic ...' (may be repeated)"""


def push_command(options: PushCommand) -> None:
    """Write the scores, send them if a server is named, and print their number and what was left out."""
    if options.out.suffix != ".jsonl":
        raise UsageError(f"cannot tell the form of {options.out.name}", str(options.out), "let the name end in .jsonl")
    fresh_log(options.out, options.force, [options.log])
    made = push(progress(open_log(options, [options.log]), "push", "dialogues"), options)
    kept = 0
    with atomic_write(options.out) as file:
        for path, body in made.bodies:
            file.write(msgspec.json.encode(body) + b"\n")
            kept += 1
            if options.url is not None:
                send(options.url, path, body, options.header)
    print_lines(f"{kept:,} scores in {options.out}" + ("" if options.url is None else f", sent to {options.url}"))
    print_lines(*(f"left out: {reason}, {count:,}" for reason, count in made.left_out.most_common()))


@dataclass(frozen=True, kw_only=True)
class StatsOptions(LogOptions):
    """Count what is in a log: turns, words, feedback, annotators, labels of each task, signals and targets."""

    json: bool = False
    """output of every count as JSON"""


def stats(options: StatsOptions) -> None:
    """Print the counts."""
    counts = log_stats(progress(open_log(options, options.log), "stats", "dialogues"))
    if options.json:
        text = msgspec.json.format(msgspec.json.encode(_plain(counts)), indent=2).decode()
        print_lines(*printable_json(text).split("\n"))
    else:
        _print(counts, PlainConsole())


def _plain(stats: LogStats) -> dict[str, object]:
    tasks: dict[str, dict[str, object]] = {}
    for (kind, task), item in sorted(stats.tasks.items()):
        tasks.setdefault(kind, {})[task] = {
            "annotations": item.annotations,
            "fields": item.fields,
            "none": item.none,
            "labels": dict(sorted(item.labels.items())),
        }
    return {
        "dialogues": stats.dialogues,
        "turns": stats.turns,
        "users": len(stats.users),
        "sources": _sorted(stats.sources),
        "turns_of_dialogue": spread(stats.turns_of_dialogue),
        "request_words": spread(stats.request_words),
        "empty_requests": stats.request_words[0],
        "response_words": spread(stats.response_words),
        "empty_responses": stats.response_words[0],
        "turn_fields": _sorted(stats.turn_fields),
        "feedback": [{"kind": k, "answer": a or None, "count": n} for (k, a), n in sorted(stats.feedback.items())],
        "annotators": _sorted(stats.annotators),
        "goals": stats.goals,
        "annotations_returning_to_a_goal": stats.returning,
        "tasks": tasks,
        "signals": [{"kind": k, "vote": v, "count": n} for (k, v), n in sorted(stats.signals.items())],
        "targets": _sorted(stats.targets),
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _print(stats: LogStats, console: Console) -> None:
    console.print(f"{stats.dialogues:,} dialogues, {stats.turns:,} turns, {len(stats.users):,} known users")
    if stats.sources:
        console.print("sources: " + ", ".join(f"{name} {n:,}" for name, n in sorted(stats.sources.items())))
    sizes = columns("", ">least", ">median", ">95%", ">most", ">mean", ">empty")
    for name, counts in (
        ("turns a dialogue", stats.turns_of_dialogue),
        ("words a request", stats.request_words),
        ("words a response", stats.response_words),
    ):
        if s := spread(counts):
            numbers = (s.least, s.median, s.p95, s.most)
            sizes.add_row(name, *(f"{n:,}" for n in numbers), f"{s.mean:,.1f}", f"{counts[0]:,}")
    console.print(sizes)
    _counts(console, "field of a turn", stats.turn_fields, stats.turns)
    _counts(console, "feedback", Counter({" ".join(key).strip(): n for key, n in stats.feedback.items()}))
    _counts(console, "annotator", stats.annotators)
    if stats.tasks:
        labels = columns("annotators", "task", ">annotations", ">answers", ">none", "labels, most frequent first")
        for (kind, task), item in sorted(stats.tasks.items()):
            shown = ", ".join(f"{name} {n:,}" for name, n in item.labels.most_common(_SHOWN_LABELS))
            more = len(item.labels) - _SHOWN_LABELS
            tail = f", and {more:,} more names" if more > 0 else ""
            counts_of = (f"{n:,}" for n in (item.annotations, item.fields, item.none))
            labels.add_row(kind, task, *counts_of, shown + tail)
        console.print(labels)
    if stats.goals:
        console.print(f"{stats.goals:,} goals; {stats.returning:,} annotations return to an earlier goal")
    _counts(console, "signal", Counter({" ".join(key): n for key, n in stats.signals.items()}))
    _counts(console, "target", stats.targets)


def _counts(console: Console, head: str, counts: Counter[str], whole: int | None = None) -> None:
    if not counts:
        return
    table = columns(head, ">count", *([">share"] if whole else []))
    for name, n in sorted(counts.items()):
        table.add_row(name, f"{n:,}", *([f"{n / whole:.1%}"] if whole else []))
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
        """Raises UsageError without an id, and for another form of records."""
        if not self.without_user and not self.without_dialogue:
            raise UsageError("no user and no dialogue is named", "--without-user, --without-dialogue", "give an id")
        if self.format != "labelgen":
            raise UsageError(
                "only records in labelgen's form are filtered", "--format", "use labelgen data convert first"
            )


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


VALIDATE = Command("data validate", ValidateOptions, validate, "labelgen data validate logs/ --quarantine bad.jsonl")
CONVERT = Command(
    "data convert",
    ConvertOptions,
    convert,
    "labelgen data convert star/ star.jsonl --format star --sample 500 --seed 1",
)
SPLIT = Command(
    "data split", SplitCommand, split, "labelgen data split log.jsonl parts/ --parts train=0.8,valid=0.1,test=0.1"
)
STATS = Command("data stats", StatsOptions, stats, "labelgen data stats log.jsonl")
FILTER = Command(
    "data filter", FilterOptions, filter_command, "labelgen data filter logs/ filtered/ --without-user u17"
)
LABELS = Command("data labels", LabelsOptions, labels_command, "labelgen data labels labeled/ labels.csv")
PUSH = Command("data push", PushCommand, push_command, "labelgen data push labeled/ scores.jsonl --form langfuse")
EXPORT = Command(
    "data export",
    TrainingDataCommand,
    export,
    "labelgen data export labeled/ chats.jsonl --form sft --min-probability 0.8\n"
    "labelgen data export logs/ pairs.jsonl --form preferences",
)
