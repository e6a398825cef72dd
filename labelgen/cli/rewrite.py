"""labelgen rewrite mine: rewrites of requests that fail, from what users ask next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import aligned, interval_text, print_lines
from labelgen.cli.command import Command, ForceOptions, OneLogOptions, fresh_log, open_log
from labelgen.steps.rewrite import MineOptions, mine_rewrites

_SHOWN = 20
_HEADS = ("request", "rewrite", "requests", "users", "moved", "before", "after", "change")


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


MINE = Command("rewrite mine", MineCommand, mine_command, "labelgen rewrite mine targets.jsonl rewrites.csv")
