"""`labelgen simulate`: write a simulated log whose truth is known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.files import fresh_file
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions
from labelgen.data.log import write_log
from labelgen.simulator.log import SimulationOptions, labels, simulated_log


@dataclass(frozen=True, kw_only=True)
class SimulateOptions(SimulationOptions, ForceOptions):
    """Write a log of a simulated voice assistant, with its truth and the annotations of four people, and labels.json next to it. The same
    seed gives the same bytes; a longer log begins with the shorter one."""

    out: Annotated[str, ARGUMENT]
    """file to write: .jsonl or .parquet, or - for standard output"""


def simulate(options: SimulateOptions) -> None:
    """Write the log, and print how long it is."""
    out = Path(options.out)
    if options.out != "-":
        fresh_file(out, options.force)
    dialogues = progress(simulated_log(options), "simulate", "dialogues", options.dialogues)
    count = write_log(options.out, dialogues, labels(), options.force)
    if options.out != "-":
        print_lines(f"{count:,} dialogues in {out}, label names in {out.parent / 'labels.json'}")


SIMULATE = Command(SimulateOptions, simulate, "world/log.jsonl --dialogues 2000 --seed 1")
