"""Progress of long work: how much is done, the rate, and the remaining time."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_EVERY_S = 2.0


def progress(items: Iterable[Item], name: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """Pass `items` on; on a terminal redraw one line with count, rate and remaining time, else print it now and then.

    Silent for work under two seconds. Writes to standard error, so that output can be piped."""
    started = last = time.monotonic()
    count = 0
    interactive = sys.stderr.isatty()
    every = _EVERY_S if interactive else 10 * _EVERY_S
    shown = False
    for item in items:
        yield item
        count += 1
        now = time.monotonic()
        if now - last >= every:
            last = now
            shown = True
            _show(line(name, unit, count, total, now - started), interactive)
    if shown:
        _show(line(name, unit, count, total, time.monotonic() - started), interactive)
        if interactive:
            sys.stderr.write("\n")


def line(name: str, unit: str, count: int, total: int | None, elapsed_s: float) -> str:
    """One line of progress, such as `label: 1,200/5,000 dialogues, 310.2/s, 12 s left`."""
    rate = count / elapsed_s if elapsed_s > 0 else 0.0
    done = f"{count:,}/{total:,}" if total is not None else f"{count:,}"
    left = f", {(total - count) / rate:,.0f} s left" if total is not None and rate > 0 else ""
    return f"{name}: {done} {unit}, {rate:,.1f}/s{left}"


def _show(text: str, interactive: bool) -> None:
    sys.stderr.write(f"\r\x1b[K{text}" if interactive else f"{text}\n")
    sys.stderr.flush()
