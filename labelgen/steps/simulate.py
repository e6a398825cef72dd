"""The step that simulates a log."""

from collections.abc import Iterator
from dataclasses import dataclass

from labelgen.base.options import WholeNumber
from labelgen.data.dialogue import Dialogue
from labelgen.simulator.log import simulate
from labelgen.simulator.world import WorldOptions


@dataclass(frozen=True, kw_only=True)
class SimulationOptions(WorldOptions):
    """Simulate a log of a voice assistant, with its truth and the annotations of four people. The same seed gives the same log; a
    longer log begins with the shorter one."""

    dialogues: WholeNumber = 1000
    """number of dialogues"""
    seed: WholeNumber = 0
    """seed of everything random"""


def simulated_log(options: SimulationOptions) -> Iterator[Dialogue]:
    """The dialogues of the simulated log."""
    return simulate(options.dialogues, options.seed, options)
