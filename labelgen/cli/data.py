"""`labelgen data`: validate, convert, count and split logs; print the record's schema and the forms that are read."""

import argparse
import heapq
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_folder
from labelgen.base.printable import print_lines
from labelgen.base.progress import progress
from labelgen.base.registry import require, resolve
from labelgen.cli.arguments import add_force, add_log, fresh_log, open_log, parser
from labelgen.cli.data_stats import columns, stats
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Names, merge, write_labels
from labelgen.data.log import Log
from labelgen.data.own import RECORD_SUFFIXES, open_writer
from labelgen.data.reader import READERS, Reader
from labelgen.data.record import json_schema
from labelgen.data.split import Seen, part_of, position, read_parts
from labelgen.report.terminal import PlainConsole


def main(argv: Sequence[str]) -> int:
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        _parser().print_help()
        return 0
    require(words[0], _ACTIONS, "action of data")
    _ACTIONS[words[0]](words[1:])
    return 0


def _parser() -> argparse.ArgumentParser:
    args = parser(
        "data",
        "Read logs of any known form: check them, bring them into labelgen's own form, count what is in them, split them.",
        "labelgen data convert sgd/dev log.jsonl --format sgd\n  labelgen data stats log.jsonl",
    )
    args.add_argument("action", choices=tuple(_ACTIONS), help="each has its own --help")
    return args


def _validate(argv: Sequence[str]) -> None:
    args = parser(
        "data validate",
        "Read a whole log; count the records that are good, and those that are not by the reason. Exit code 3 where\n"
        "more are bad than --max-bad-rate allows.",
        "labelgen data validate logs/ --quarantine bad.jsonl",
    )
    add_log(args)
    log = open_log(args.parse_args(argv))
    try:
        turns = sum(len(dialogue.turns) for dialogue in progress(log, "validate", "dialogues"))
    finally:
        table = columns("records", ">count")
        table.add_row("good", f"{log.kept:,}")
        for reason, count in sorted(log.reasons.items()):
            table.add_row(reason, f"{count:,}")
        PlainConsole().print(table)
    print_lines(f"{turns:,} turns in {log.kept:,} dialogues")


def _convert(argv: Sequence[str]) -> None:
    args = parser(
        "data convert",
        "Write logs in labelgen's own form, with labels.json beside: the names that the corpus publishes, and those that\n"
        "its annotations mention.",
        "labelgen data convert star/ star.jsonl --format star --sample 500 --seed 1",
    )
    add_log(args)
    args.add_argument("out", help="file to write: .jsonl or .parquet, or - for standard output")
    args.add_argument("--sample", type=int, metavar="N", help="write only N dialogues, drawn by a hash of their ids")
    args.add_argument("--seed", type=int, default=0, help="of the sample (default %(default)s)")
    add_force(args)
    given = args.parse_args(argv)
    if given.sample is not None and given.sample < 0:
        raise UsageError(f"cannot draw {given.sample} dialogues", "--sample", "give a count of 0 or more")
    out = Path(given.out)
    log = open_log(given)
    dialogues: Iterable[Dialogue] = progress(log, "convert", "dialogues")
    if given.sample is not None:
        dialogues = _sample(dialogues, given.sample, given.seed)
    fresh_log(given.out, given.force, given.log)
    names = Names()
    count = 0
    with open_writer(given.out, given.force) as write:
        for dialogue in dialogues:
            for annotation in dialogue.annotations:
                for label in annotation.labels:
                    names.add(dialogue.source, label.task, (label.name,))
            write(dialogue)
            count += 1
    if given.out != "-":
        write_labels(out.parent / "labels.json", merge(log.labels(), names.sources()))
        print_lines(f"{count:,} dialogues in {out}, label names in {out.parent / 'labels.json'}{_rejected(log)}")


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


def _split(argv: Sequence[str]) -> None:
    args = parser(
        "data split",
        "Split a log into parts, one file each, by a hash of the user, or of the dialogue where the user is unknown.\n"
        "Dialogues of the other parts whose requests all equal those of one in the first part are left out and counted.",
        "labelgen data split log.jsonl parts/ --parts train=0.8,valid=0.1,test=0.1",
    )
    add_log(args)
    args.add_argument("out", type=Path, help="folder for NAME.jsonl of each part and labels.json")
    args.add_argument(
        "--parts", default="train=0.8,valid=0.1,test=0.1", metavar="NAME=SHARE,...", help="default %(default)s"
    )
    args.add_argument("--seed", type=int, default=0, help="another seed, another split (default %(default)s)")
    args.add_argument("--suffix", choices=(".jsonl", ".parquet"), default=".jsonl", help="default %(default)s")
    args.add_argument("--keep-copies", action="store_true", help="leave no dialogue out")
    add_force(args)
    given = args.parse_args(argv)
    if "-" in given.log:
        raise UsageError("a split reads the log twice", "-", "name files, not standard input")
    parts = read_parts(given.parts)
    log = open_log(given)
    fresh_folder(given.out, given.force)
    made = {part.name + given.suffix for part in parts}
    for name in made:
        fresh_log(str(given.out / name), given.force, given.log)
    if others := sorted(p.name for p in given.out.iterdir() if p.name.endswith(RECORD_SUFFIXES) and p.name not in made):
        raise UsageError(
            f"{given.out} holds {', '.join(others)} too, which may share users with the new parts",
            str(given.out),
            "remove what is no part of this split, or name another folder",
        )
    first = parts[0].name
    training = (d for d in progress(log, "read", "dialogues") if part_of(d, parts, given.seed) == first)
    seen = Seen(()) if given.keep_copies else Seen(training)
    kept = dict.fromkeys((part.name for part in parts), 0)
    copies = dict(kept)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(open_writer(given.out / (name + given.suffix), given.force)) for name in kept
        }
        for dialogue in progress(log, "split", "dialogues"):
            part = part_of(dialogue, parts, given.seed)
            if part != first and dialogue in seen:
                copies[part] += 1
                continue
            files[part](dialogue)
            kept[part] += 1
    labels = log.labels()
    if labels:
        write_labels(given.out / "labels.json", labels)
    table = columns("part", ">dialogues", f">copies of {first} left out")
    for name in kept:
        table.add_row(name, f"{kept[name]:,}", f"{copies[name]:,}")
    PlainConsole().print(table)


def _schema(argv: Sequence[str]) -> None:
    args = parser("data schema", "Print the JSON Schema of a record.", "labelgen data schema > record.schema.json")
    args.parse_args(argv)
    print_lines(*schema_text().splitlines())


def schema_text() -> str:
    """The JSON Schema as it stands in docs/record.schema.json."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _formats(argv: Sequence[str]) -> None:
    args = parser(
        "data formats",
        "List the forms that --format knows; with a name, say all about one.",
        "labelgen data formats csv_turns",
    )
    args.add_argument("name", nargs="?", help="a form")
    given = args.parse_args(argv)
    if given.name is not None:
        require(given.name, READERS, "format")
        print_lines(*_about(given.name).split("\n"))
        return
    table = columns("format", "what it reads", "options")
    for name in READERS:
        reader: Reader = resolve(READERS, name, "format")
        table.add_row(name, _about(name).partition("\n\n")[0].replace("\n", " "), ", ".join(reader.options))
    PlainConsole().print(table)


def _about(name: str) -> str:
    return inspect.cleandoc(import_module(READERS[name].partition(":")[0]).__doc__ or "")


def _rejected(log: Log) -> str:
    bad = log.reasons.total()
    return f"; {bad:,} records rejected" if bad else ""


_ACTIONS: dict[str, Callable[[Sequence[str]], None]] = {
    "validate": _validate,
    "convert": _convert,
    "stats": stats,
    "split": _split,
    "schema": _schema,
    "formats": _formats,
}
