"""How fast labelling goes: dialogues and turns a second, and the remaining time."""

import sys
import time
from collections.abc import Iterable, Iterator

from labelgen.labelling.manifest import ShardEntry

_EVERY_S = 2.0


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


def line(dialogues: int, turns: int, done_bytes: float, total_bytes: float, elapsed_s: float) -> str:
    """Such as `label: 1,200 dialogues, 40.0/s; 9,600 turns, 320.0/s; 35% done, 56 s left`."""
    share = min(1.0, done_bytes / total_bytes) if total_bytes > 0 else 1.0
    left = f", {elapsed_s * (1 - share) / share:,.0f} s left" if share > 0 else ""
    per_s = 1 / elapsed_s if elapsed_s > 0 else 0.0
    return (
        f"label: {dialogues:,} dialogues, {dialogues * per_s:,.1f}/s; {turns:,} turns, {turns * per_s:,.1f}/s; "
        f"{share:.0%} done{left}"
    )
