"""How fast labeling goes: dialogues and turns a second, and the remaining time."""

import sys
import time
from collections.abc import Iterable, Iterator

from labelgen.labeling.manifest import ShardEntry

_EVERY_S = 2.0

HUMAN_MIN = 2.0
"""Minutes that a person is assumed to need for one dialogue; an assumption and no measurement, so it is told with every
figure that comes from it."""


def paced(entries: Iterable[tuple[ShardEntry, float]], total_bytes: float) -> Iterator[ShardEntry]:
    """Pass the entries of shards on, each given with the bytes of input it stands for; now and then print a line to
    standard error, redrawn in place on a terminal. The remaining time goes by bytes, as records are not counted
    ahead."""
    started = last = time.monotonic()
    interactive = sys.stderr.isatty()
    every = _EVERY_S if interactive else 10 * _EVERY_S
    dialogues = turns = 0
    done_bytes = 0.0
    for entry, size in entries:
        yield entry
        dialogues += entry.sums.seen
        turns += entry.sums.turns
        done_bytes += size
        now = time.monotonic()
        if now - last >= every:
            last = now
            text = line(dialogues, turns, done_bytes, total_bytes, now - started)
            sys.stderr.write(f"\r\x1b[K{text}" if interactive else f"{text}\n")
            sys.stderr.flush()
    if interactive and last > started:
        sys.stderr.write("\n")
    if dialogues:
        elapsed_s = time.monotonic() - started
        sys.stderr.write(f"{closing(dialogues, turns, elapsed_s)}\n")


def line(dialogues: int, turns: int, done_bytes: float, total_bytes: float, elapsed_s: float) -> str:
    """Such as `label: 1,200 dialogues, 40.0/s; 9,600 turns, 320.0/s; 35% done, 56 s left`."""
    share = min(1.0, done_bytes / total_bytes) if total_bytes > 0 else 1.0
    left = f", {elapsed_s * (1 - share) / share:,.0f} s left" if share > 0 else ""
    per_s = 1 / elapsed_s if elapsed_s > 0 else 0.0
    return (
        f"label: {dialogues:,} dialogues, {dialogues * per_s:,.1f}/s; {turns:,} turns, {turns * per_s:,.1f}/s; "
        f"{share:.0%} done{left}"
    )


def closing(dialogues: int, turns: int, elapsed_s: float) -> str:
    """Such as `label: 1,200 dialogues in 30 s, 40.0/s, 320.0 turns/s; a person at 2 minutes a dialogue (assumed) needs
    40.0 h, 4,800 times as long`."""
    per_s = 1 / elapsed_s if elapsed_s > 0 else 0.0
    return (
        f"label: {dialogues:,} dialogues in {told_time(elapsed_s)}, {dialogues * per_s:,.1f}/s, {turns * per_s:,.1f} turns/s; "
        f"{beside_people(dialogues, elapsed_s)}"
    )


def beside_people(dialogues: int, elapsed_s: float) -> str:
    """What a person would need for as many dialogues."""
    human_s = dialogues * HUMAN_MIN * 60
    times = f", {human_s / elapsed_s:,.0f} times as long" if elapsed_s > 0 else ""
    return f"a person at {HUMAN_MIN:g} minutes a dialogue (assumed) needs {told_time(human_s)}{times}"


def told_time(seconds: float) -> str:
    """In the unit that people would use."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
