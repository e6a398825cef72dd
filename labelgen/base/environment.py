"""Environment variables by which the processes of one machine compute at one CPU instruction set (kernels/processor.py)."""

import os

MAX_CPU_ISA = "ONEDNN_MAX_CPU_ISA"
"""oneDNN's own: the highest level that it may use."""
PROBED_CPU_ISA = "LABELGEN_PROBED_CPU_ISA"
"""The machine that was probed, a space, and the level that was set there, if any."""


def instruction_set_environment() -> dict[str, str]:
    """What another process of this machine needs to compute at this one's level without probing again."""
    return {name: os.environ[name] for name in (MAX_CPU_ISA, PROBED_CPU_ISA) if name in os.environ}
