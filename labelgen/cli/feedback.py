"""`labelgen feedback`: find the signals in a log, turn them into targets, and say where those come from."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from labelgen.base.errors import InputError
from labelgen.base.files import fresh_file
from labelgen.base.progress import progress
from labelgen.base.registry import require, resolve
from labelgen.cli.arguments import add_force, add_reading, open_log, parser
from labelgen.cli.feedback_explain import explain
from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Target
from labelgen.data.labels import UNIT_OF
from labelgen.data.log import Log, write_log
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.posterior import METHODS, Method
from labelgen.feedback.signal import with_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets

_ACTIONS = ("signals", "aggregate", "explain")

Counts = Counter[tuple[str, ...]]


def main(argv: Sequence[str]) -> int:
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        _parser().print_help()
        return 0
    require(words[0], _ACTIONS, "action of feedback")
    act = {"signals": _signals, "aggregate": _aggregate, "explain": explain}[words[0]]
    return act(words[1:])


def _parser() -> argparse.ArgumentParser:
    args = parser(
        "feedback",
        "Find the signals in a log, turn them into targets, and say where those of a dialogue come from.",
        "labelgen feedback signals log.jsonl signals.jsonl\n"
        "  labelgen feedback aggregate signals.jsonl targets.jsonl --method waterfall\n"
        "  labelgen feedback explain log.jsonl d7",
    )
    args.add_argument("action", choices=_ACTIONS, help="each has its own --help")
    return args


def _signals(argv: Sequence[str]) -> int:
    args = _action(
        "feedback signals",
        "Write every record with the signals that the detectors find in it, in place of those it had.",
        "labelgen feedback signals log.jsonl signals.jsonl",
    )
    args.add_argument(
        "--kind",
        action="append",
        metavar="KIND",
        help=f"ask only this detector, may be repeated: {', '.join(DETECTORS)}",
    )
    given = args.parse_args(argv)
    for kind in given.kind or ():
        require(kind, DETECTORS, "signal")

    def find(dialogue: Dialogue, counts: Counts) -> Dialogue:
        found = with_signals(dialogue, given.kind)
        counts.update((s.kind, "explicit" if s.explicit else "implicit", s.vote) for s in found.signals)
        return found

    log = open_log(given)
    return _rewrite(given, log, log, find, "signals", ("kind", "asked", "vote"))


def _aggregate(argv: Sequence[str]) -> int:
    args = _action(
        "feedback aggregate",
        "Write every record with targets made from its signals, in place of the targets it had. Find the signals first.",
        "labelgen feedback aggregate signals.jsonl targets.jsonl --method waterfall --goals anna",
    )
    args.add_argument("--method", default="waterfall", help=f"{' or '.join(METHODS)} (default %(default)s)")
    args.add_argument(
        "--goals", metavar="ANNOTATOR", help="outcomes are of this annotator's goals (default: of provisional goals)"
    )
    level = args.add_mutually_exclusive_group()
    level.add_argument("--explicit-only", action="store_true", help="use only what users said when asked")
    level.add_argument("--implicit-only", action="store_true", help="use only what users' behaviour shows")
    given = args.parse_args(argv)
    method: Method = resolve(METHODS, given.method, "method")

    def make(dialogue: Dialogue, counts: Counts) -> Dialogue:
        used = [s for s in dialogue.signals if not (given.implicit_only if s.explicit else given.explicit_only)]
        targets = feedback_targets(dialogue, used, method, given.goals)
        counts.update((t.task, UNIT_OF[type(t.at)], _says(t)) for t in targets)
        return replace(dialogue, targets=targets)

    log = open_log(given)
    return _rewrite(given, log, _with_some_signal(log, given.log), make, "targets", ("task", "unit", "says"))


def _action(name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """What both actions are told: which log is read, and where it is written anew."""
    args = parser(name, summary, example)
    args.add_argument("log", help="file or folder of records; - reads standard input")
    add_reading(args)
    args.add_argument("out", help="file to write: .jsonl or .parquet, or - for standard output")
    add_force(args)
    return args


def _with_some_signal(dialogues: Iterable[Dialogue], where: str) -> Iterator[Dialogue]:
    """The dialogues. Raises InputError after the last one if there were some, and no signal in any."""
    count = signals = 0
    for dialogue in dialogues:
        count += 1
        signals += len(dialogue.signals)
        yield dialogue
    if count and not signals:
        raise InputError(
            f"none of the {count:,} records has a signal", where, "run `labelgen feedback signals` on the log first"
        )


def _rewrite(
    given: argparse.Namespace,
    log: Log,
    dialogues: Iterable[Dialogue],
    change: Callable[[Dialogue, Counts], Dialogue],
    what: str,
    heads: tuple[str, ...],
) -> int:
    """Write every dialogue as `change` makes it, then the table of what it counted."""
    if given.out != "-":
        fresh_file(Path(given.out), given.force)
    counts: Counts = Counter()
    changed = (change(dialogue, counts) for dialogue in dialogues)
    count = write_log(given.out, progress(changed, "feedback", "dialogues"), log.labels(), given.force)
    _table(given.out, count, what, heads, counts)
    return 0


def _says(target: Target) -> str:
    """The most probable name of an exclusive task; of a task with names of its own, only whether they hold."""
    if target.complement is not None:
        return "not this"
    names = target.distribution or ()
    if not names:
        return "nothing else"
    return max(names, key=lambda pair: pair[1])[0] if len(names) > 1 and target.task in VERDICTS else "this"


def _table(out: str, dialogues: int, what: str, heads: tuple[str, ...], counts: Counts) -> None:
    """To standard output, or to standard error where that holds the records."""
    rows = [(*heads, "count"), *((*key, f"{count:,}") for key, count in sorted(counts.items()))]
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads) + 1)]
    lines = [
        "  ".join([*(f"{cell:<{w}}" for cell, w in zip(row[:-1], widths, strict=False)), f"{row[-1]:>{widths[-1]}}"])
        for row in rows
    ]
    lines.append(f"{sum(counts.values()):,} {what} in {dialogues:,} dialogues")
    print("\n".join(lines), file=sys.stderr if out == "-" else sys.stdout)
