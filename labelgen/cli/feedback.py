"""`labelgen feedback`: find the signals in a log, turn them into targets, say where those come from, and what to ask."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.base.registry import require, resolve
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.arguments import add_force, add_reading, fresh_log, open_log, parser
from labelgen.cli.feedback_ask import ask
from labelgen.cli.feedback_explain import explain
from labelgen.cli.feedback_report import report
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import UNIT_OF, Target
from labelgen.data.log import Log, with_named, write_log
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import FeedbackItem, items_of
from labelgen.feedback.posterior import FITTED_METHODS, METHODS, Method
from labelgen.feedback.signal import with_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets

if TYPE_CHECKING:
    from labelgen.feedback.em.method import EmMethod

_ACTIONS = ("signals", "aggregate", "explain", "ask", "report")

Counts = Counter[tuple[str, ...]]


def main(argv: Sequence[str]) -> int:
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        _parser().print_help()
        return 0
    require(words[0], _ACTIONS, "action of feedback")
    actions = {"signals": _signals, "aggregate": _aggregate, "explain": explain, "ask": ask, "report": report}
    return actions[words[0]](words[1:])


def _parser() -> argparse.ArgumentParser:
    args = parser(
        "feedback",
        "Find the signals in a log, turn them into targets, say where those of a dialogue come from, and what to ask users.",
        "labelgen feedback signals log.jsonl signals.jsonl\n"
        "  labelgen feedback aggregate signals.jsonl targets.jsonl --method waterfall\n"
        "  labelgen feedback explain log.jsonl d7\n"
        "  labelgen feedback ask log.jsonl questions.jsonl --budget 200\n"
        "  labelgen feedback report signals.jsonl signals.html",
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
    names = (*METHODS, *FITTED_METHODS)
    args.add_argument("--method", default="waterfall", help=f"{', '.join(names)} (default %(default)s)")
    args.add_argument(
        "--goals", metavar="ANNOTATOR", help="outcomes are of this annotator's goals (default: of provisional goals)"
    )
    level = args.add_mutually_exclusive_group()
    level.add_argument("--explicit-only", action="store_true", help="use only what users said when asked")
    level.add_argument("--implicit-only", action="store_true", help="use only what users' behavior shows")
    fitted = args.add_argument_group("of a method that learns from the log", f"{', '.join(FITTED_METHODS)}")
    fitted.add_argument("--fit", type=Path, metavar="FILE", help="write what was learned of each kind here, as JSON")
    fitted.add_argument("--no-anchors", action="store_true", help="do not learn from people's annotations in the log")
    fitted.add_argument(
        "--no-pool",
        action="store_true",
        help="hear what speaks of the item itself: neither others who got the same response, nor the assistant's confidence",
    )
    given = args.parse_args(argv)
    require(given.method, names, "method")
    log = open_log(given)
    if given.method in FITTED_METHODS:
        method = _learn(given, log)
    elif given.fit or given.no_anchors or given.no_pool:
        raise UsageError(
            f"{given.method} learns nothing", "--fit, --no-anchors, --no-pool", f"--method {', '.join(FITTED_METHODS)}"
        )
    else:
        method = resolve(METHODS, given.method, "method")

    def make(dialogue: Dialogue, counts: Counts) -> Dialogue:
        targets = feedback_targets(dialogue, _used(dialogue, given), method, given.goals)
        counts.update((t.task, UNIT_OF[type(t.at)], _says(t)) for t in targets)
        return replace(dialogue, targets=targets)

    heard = with_named(_with_some_signal(log, given.log), [given.goals], "--goals")
    return _rewrite(given, log, heard, make, "targets", ("task", "unit", "says"))


def _used(dialogue: Dialogue, given: argparse.Namespace) -> list[Signal]:
    """The signals of the level that is asked for."""
    return [s for s in dialogue.signals if not (given.implicit_only if s.explicit else given.explicit_only)]


def _learn(given: argparse.Namespace, log: Log) -> Method:
    """Go over the log, and show what was learned of each kind."""
    from labelgen.feedback.em.method import learn_pooled

    if given.log == "-":
        raise UsageError(
            f"--method {given.method} reads the log several times, and standard input can be read once",
            "the log -",
            "write the records to a file first",
        )
    for path in (given.fit, given.out):
        if path:
            fresh_log(str(path), given.force, [given.log])

    def items() -> Iterator[FeedbackItem]:
        for dialogue in progress(_with_some_signal(log, given.log), "learning", "dialogues"):
            yield from items_of(dialogue, _used(dialogue, given), given.goals)

    learn = partial(resolve(FITTED_METHODS, given.method, "method"), anchored=not given.no_anchors)
    fitted: EmMethod
    method: Method
    if given.no_pool:
        fitted = method = learn(items())
    else:
        fitted, method = learn_pooled(items, learn)
    if given.fit:
        write_text(given.fit, json.dumps(fitted.to_plain(), indent=1, ensure_ascii=False) + "\n")
    heads = ("unit", "kind", "vote", "times", "precision", "recall", "log-odds")
    rows = [
        (k.unit, k.kind, k.vote, f"{k.times:,}", f"{k.precision:.3f}", f"{k.recall:.3f}", f"{k.log_odds:+.2f}")
        for k in fitted.kinds
    ]
    shares = [f"{rates.good:.1%} of {fitted.items[unit]:,} {unit}s" for unit, rates in fitted.whole.items()]
    taken = (
        f"{given.method} takes {', '.join(shares)} to be good"
        if shares
        else "no signal says good or bad: nothing to learn"
    )
    _print(given.out, [*_aligned([heads, *rows], 3), taken, *_untold(fitted), ""])
    return method


def _untold(fitted: "EmMethod") -> Iterator[str]:
    """What could not be learned, and what is done instead."""
    for unit, rates in fitted.whole.items():
        for _, votes in sorted(rates.prior_only):
            said = ", ".join(f"{kind} {vote}" for kind, vote in votes)
            yield f"nearly all {unit}s have {said}, which this log cannot teach to believe or not: it is believed as written"


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
    fresh_log(given.out, given.force, [given.log])
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
    rows = [(*heads, "count"), *((*key, f"{count:,}") for key, count in sorted(counts.items()))]
    _print(out, [*_aligned(rows, len(heads)), f"{sum(counts.values()):,} {what} in {dialogues:,} dialogues"])


def _aligned(rows: Sequence[tuple[str, ...]], texts: int) -> list[str]:
    """Rows as lines in columns: so many of texts, then numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{'<' if k < texts else '>'}{widths[k]}}" for k, cell in enumerate(row)) for row in rows]


def _print(out: str, lines: Sequence[str]) -> None:
    """To standard output, or to standard error where that holds the records."""
    print_lines(*lines, file=sys.stderr if out == "-" else sys.stdout)
