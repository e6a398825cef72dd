"""`labelgen simulate`: write a simulated log whose truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_file
from labelgen.base.options import ARGUMENT, WholeNumber
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import write_log
from labelgen.simulator.log import Scene, labels, scene
from labelgen.simulator.sound import write_sound
from labelgen.simulator.world import WorldOptions


@dataclass(frozen=True, kw_only=True)
class SimulateOptions(WorldOptions, ForceOptions):
    """Write a log of a simulated voice assistant, with its truth and the annotations of four people, and labels.json next to it. The same
    seed gives the same bytes; a longer log begins with the shorter one."""

    out: Annotated[str, ARGUMENT]
    """file to write: .jsonl or .parquet, or - for standard output"""
    dialogues: WholeNumber = 1000
    """number of dialogues"""
    seed: WholeNumber = 0
    """seed of everything random"""


def simulate(options: SimulateOptions) -> None:
    """Write the log, and print how long it is."""
    count = write_simulation(options)
    if options.out != "-":
        out = Path(options.out)
        print_lines(f"{count:,} dialogues in {out}, label names in {out.parent / 'labels.json'}")


def write_simulation(options: SimulateOptions) -> int:
    """Write the log; returns the number of dialogues."""
    world = WorldOptions(**{item.name: getattr(options, item.name) for item in fields(WorldOptions)})
    if options.out == "-" and world.sound:
        raise UsageError("sound needs a folder next to the log", "--sound", "name a file in place of -")
    out = Path(options.out)
    if options.out != "-":
        fresh_file(out, options.force)
    scenes = (scene(options.seed, index, world) for index in range(options.dialogues))
    shown = progress(scenes, "simulate", "dialogues", options.dialogues)
    return write_log(
        options.out,
        _dialogues(shown, out.parent, options.force),
        labels(),
        options.force,
    )


def _dialogues(scenes: Iterator[Scene], folder: Path, force: bool) -> Iterator[Dialogue]:
    """Pass the dialogues on, and write the sound of those that have any. Raises UsageError as fresh_file does."""
    for one in scenes:
        if one.voice is not None:
            path = next(turn.audio.path for turn in one.dialogue.turns if turn.audio is not None)
            write_sound(fresh_file(folder / path, force), one.voice)
        yield one.dialogue


SIMULATE = Command(
    "simulate",
    SimulateOptions,
    simulate,
    "labelgen simulate world/log.jsonl --dialogues 2000 --seed 1",
)
