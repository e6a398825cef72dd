"""labelgen discover and rewrite mine: topics of requests or goals that nobody named, and rewrites of requests that fail."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from labelgen.base.files import fresh_file, write_json, write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import aligned, interval_text, print_lines
from labelgen.cli.command import Command, ForceOptions, OneLogOptions, ResultOptions, fresh_log, open_log
from labelgen.data.label_sets import write_labels
from labelgen.metrics.results import Interval
from labelgen.steps.requests import Discovered, DiscoverOptions, MineOptions, discover, mine_rewrites

if TYPE_CHECKING:
    from labelgen.requests.topics import Topic

_LONGEST_EXAMPLE = 60
_SHOWN = 20
_HEADS = ("request", "rewrite", "requests", "users", "moved", "before", "after", "change")


@dataclass(frozen=True, kw_only=True)
class DiscoverCommand(DiscoverOptions, ResultOptions):
    labels: Annotated[Path | None, "FILE"] = None
    """label set for the names of the topics as intents; names that are there stay"""


def discover_command(options: DiscoverCommand) -> None:
    """Discover, print the topics, and write the files that are named."""

    if options.out is not None:
        fresh_file(options.out, options.force)
    discovered = discover(open_log(options), options)
    print_lines(*topic_lines(discovered, options.unit))
    if options.out is not None:
        write_json(options.out, discovered.topics)
    if options.labels is not None:
        write_labels(options.labels, discovered.labels)


def topic_lines(discovered: Discovered, unit: str) -> Iterator[str]:
    """A row for each topic, and what is not in one."""
    topics = discovered.topics
    heads = ("topic", "example", f"{unit}s", "users", "share", "failed", "above the mean")
    heads = (*heads[:2], *(("since", *heads[2:]) if topics.date else heads[2:]))
    rows = [_row(one, discovered) for one in topics.topics]
    yield from aligned([heads, *rows], 3 if topics.date else 2)
    yield f"{topics.requests:,} {unit}s of {topics.users:,} users; failed: {_shown(topics.failed)}"
    if topics.date:
        yield f"{topics.users_before:,} users before {topics.date}, {topics.users_since:,} since"
    if topics.small:
        yield f"{topics.small:,} are in groups of too few users (--least-users)"
    if discovered.left_out:
        yield f"{discovered.left_out:,} have intents and are left out (--with-intents)"
    if topics.failed.value is None:
        yield "nothing says what failed: run labelgen feedback aggregate first, or name an annotator by --annotator"


def _row(one: "Topic", discovered: Discovered) -> tuple[str, ...]:
    topics = discovered.topics
    example = one.examples[0] if one.examples else ""
    shown = example if len(example) <= _LONGEST_EXAMPLE else f"{example[: _LONGEST_EXAMPLE - 1]}…"
    news = (one.news(topics.users_before, topics.users_since),) if topics.date else ()
    numbers = (f"{one.requests:,}", f"{one.users:,}", f"{one.share:.1%}", _shown(one.failed))
    return (one.name, shown, *news, *numbers, f"{one.excess:+.1f}" if one.judged else "-")


def _shown(interval: Interval) -> str:
    if interval.value is None:
        return "-"
    return interval_text(interval.value, interval.low, interval.high, f"{interval.value:.2f}", ".2f")


DISCOVER = Command(DiscoverCommand, discover_command, "targets.jsonl --since 2026-02-01 --labels labels.json")


@dataclass(frozen=True, kw_only=True)
class MineCommand(MineOptions, OneLogOptions, ForceOptions):
    out: Annotated[Path, ARGUMENT]
    """CSV file for the table of rewrites"""


def mine_command(options: MineCommand) -> None:
    """Mine, write the table, and print its first rows."""
    fresh_log(options.out, options.force, [options.log])
    mined = mine_rewrites(open_log(options), options)
    write_text(options.out, mined.table())
    rows = []
    for one in mined.rewrites[:_SHOWN]:
        change = interval_text(one.change.value, one.change.low, one.change.high, form="+.2f")
        counts = (f"{n:,}" for n in (one.requests, one.users, one.moved))
        rows.append((one.request, one.rewrite, *counts, f"{one.before.value:.2f}", f"{one.after.value:.2f}", change))
    if rows:
        print_lines(*aligned([_HEADS, *rows], 2))
    print_lines(
        f"{len(mined.rewrites):,} rewrites in {options.out}, of {mined.forms:,} forms in {mined.requests:,} requests"
    )
    if mined.unjudged:
        print_lines(f"{mined.unjudged:,} requests have no verdict and were left out")


MINE = Command(MineCommand, mine_command, "targets.jsonl rewrites.csv")
