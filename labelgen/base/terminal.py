"""Terminal output: text from users and files in printable form, and progress of long work.

Printable text cannot move the cursor, hide characters or imitate a line of labelgen."""

import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TypeVar

Item = TypeVar("Item")

_REDRAW_S = 2.0
"""Seconds between two redraws of the progress line on a terminal; elsewhere ten times as many."""


def printable(text: str) -> str:
    """Text on one line, with control and other invisible characters as escapes: `\\x1b`, `\\u202e`, `⏎`."""
    return text if text.isascii() and text.isprintable() else "".join(_visible(character) for character in text)


def print_lines(*lines: object, file: IO[str] | None = None) -> None:
    """Print each object as one printable line. file: standard output if None. All output of labelgen passes here."""
    for line in lines:
        print(printable(str(line)), file=sys.stdout if file is None else file)


def aligned(rows: Sequence[tuple[str, ...]], texts: int) -> list[str]:
    """Rows as lines in columns. texts: number of columns of text, which come before those of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{'<' if k < texts else '>'}{widths[k]}}" for k, cell in enumerate(row)) for row in rows]


def interval_text(
    value: float | None, low: float | None, high: float | None, missing: str = "-", form: str = ".3f"
) -> str:
    """A value with its confidence interval, as `0.912 (0.870 to 0.951)`; `missing` for an unknown one."""
    if value is None or low is None or high is None:
        return missing
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _visible(character: str) -> str:
    if character == "\n":
        return " ⏎ "
    if character == "\t":
        return " "
    # Controls, formats such as bidi overrides, surrogates, private use and unassigned, line separators.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def progress(
    items: Iterable[Item], name: str, unit: str, total: int | None = None, size: Callable[[Item], int] | None = None
) -> Iterator[Item]:
    """Yield `items` and report progress on standard error, as `name: 1,200/5,000 dialogues, 310.2/s, 12 s left`.

    On a terminal one line is redrawn; elsewhere a line is printed every 20 seconds. Work of less than two seconds is not
    reported.

    Args:
        total: number of items, or the sum of their sizes; None if unknown.
        size: of an item; 1 without a value."""
    interactive = sys.stderr.isatty()
    every = _REDRAW_S if interactive else 10 * _REDRAW_S
    started = last = time.monotonic()
    count, reported = 0, 0

    def report() -> None:
        elapsed = time.monotonic() - started
        rate = count / elapsed if elapsed > 0 else 0.0
        done = f"{count:,}" if total is None else f"{count:,}/{total:,}"
        left = f", {(total - count) / rate:,.0f} s left" if total is not None and rate > 0 else ""
        text = f"{name}: {done} {unit}, {rate:,.1f}/s{left}"
        sys.stderr.write(f"\r\x1b[K{text}" if interactive else f"{text}\n")
        sys.stderr.flush()

    for item in items:
        yield item
        count += 1 if size is None else size(item)
        if time.monotonic() - last >= every:
            last, reported = time.monotonic(), count
            report()
    if 0 < reported < count:
        report()
    if reported and interactive:
        sys.stderr.write("\n")
