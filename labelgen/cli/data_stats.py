"""`labelgen data stats`: what is in a log."""

from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from labelgen.base.printable import print_lines, printable_json
from labelgen.base.progress import progress
from labelgen.cli.arguments import add_log, open_log, parser
from labelgen.data.stats import LogStats, log_stats, spread
from labelgen.report.terminal import PlainConsole

_SHOWN_LABELS = 8


def stats(argv: Sequence[str]) -> None:
    args = parser(
        "data stats",
        "Count what is in a log: turns, words, feedback, annotators, labels of each task, signals and targets.",
        "labelgen data stats log.jsonl",
    )
    add_log(args)
    args.add_argument("--json", action="store_true", help="print every count as JSON")
    given = args.parse_args(argv)
    found = log_stats(progress(open_log(given), "stats", "dialogues"))
    if given.json:
        text = msgspec.json.format(msgspec.json.encode(_plain(found)), indent=2).decode()
        print_lines(*printable_json(text).split("\n"))
    else:
        _print(found, PlainConsole())


def _plain(found: LogStats) -> dict[str, object]:
    tasks: dict[str, dict[str, object]] = {}
    for (kind, task), item in sorted(found.tasks.items()):
        tasks.setdefault(kind, {})[task] = {
            "annotations": item.annotations,
            "fields": item.fields,
            "none": item.none,
            "labels": dict(sorted(item.labels.items())),
        }
    return {
        "dialogues": found.dialogues,
        "turns": found.turns,
        "users": len(found.users),
        "sources": _sorted(found.sources),
        "turns_of_dialogue": spread(found.turns_of_dialogue),
        "request_words": spread(found.request_words),
        "empty_requests": found.request_words[0],
        "response_words": spread(found.response_words),
        "empty_responses": found.response_words[0],
        "turn_fields": _sorted(found.turn_fields),
        "feedback": [{"kind": k, "answer": a or None, "count": n} for (k, a), n in sorted(found.feedback.items())],
        "annotators": _sorted(found.annotators),
        "goals": found.goals,
        "annotations_returning_to_a_goal": found.returning,
        "tasks": tasks,
        "signals": [{"kind": k, "vote": v, "count": n} for (k, v), n in sorted(found.signals.items())],
        "targets": _sorted(found.targets),
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _print(found: LogStats, console: Console) -> None:
    console.print(f"{found.dialogues:,} dialogues, {found.turns:,} turns, {len(found.users):,} known users")
    if found.sources:
        console.print("sources: " + ", ".join(f"{name} {n:,}" for name, n in sorted(found.sources.items())))
    sizes = columns("", ">least", ">median", ">95%", ">most", ">mean", ">empty")
    for name, counts in (
        ("turns a dialogue", found.turns_of_dialogue),
        ("words a request", found.request_words),
        ("words a response", found.response_words),
    ):
        if s := spread(counts):
            numbers = (s.least, s.median, s.p95, s.most)
            sizes.add_row(name, *(f"{n:,}" for n in numbers), f"{s.mean:,.1f}", f"{counts[0]:,}")
    console.print(sizes)
    _counts(console, "field of a turn", found.turn_fields, found.turns)
    _counts(console, "feedback", Counter({" ".join(key).strip(): n for key, n in found.feedback.items()}))
    _counts(console, "annotator", found.annotators)
    if found.tasks:
        labels = columns("annotators", "task", ">annotations", ">answers", ">none", "labels, most frequent first")
        for (kind, task), item in sorted(found.tasks.items()):
            shown = ", ".join(f"{name} {n:,}" for name, n in item.labels.most_common(_SHOWN_LABELS))
            more = len(item.labels) - _SHOWN_LABELS
            tail = f", and {more:,} more names" if more > 0 else ""
            counts_of = (f"{n:,}" for n in (item.annotations, item.fields, item.none))
            labels.add_row(kind, task, *counts_of, shown + tail)
        console.print(labels)
    if found.goals:
        console.print(f"{found.goals:,} goals; {found.returning:,} annotations return to an earlier goal")
    _counts(console, "signal", Counter({" ".join(key): n for key, n in found.signals.items()}))
    _counts(console, "target", found.targets)


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
