"""labelgen diff: how rates of failure and dissatisfaction changed between two logs, or two sides of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, ReadOptions, open_log
from labelgen.steps.changed import aligned
from labelgen.steps.diff import DiffOptions, compare_release

if TYPE_CHECKING:
    from labelgen.metrics.results import Interval, ReleaseComparison, SliceDifference


_HEAD = ("slice", "sides", "before", "after", "people", "people and model", "adjusted p", "labels", "of people alone")


@dataclass(frozen=True, kw_only=True)
class DiffCommand(DiffOptions, ReadOptions, ForceOptions):
    log: Annotated[tuple[str, ...], ARGUMENT]
    """labeled log before the release, and the one after it; with --by one log"""
    out: Annotated[Path | None, "FILE"] = None
    """JSON file for the result"""
    page: Annotated[Path | None, "FILE"] = None
    """HTML file for the result, with the rate of each period"""


def diff_command(options: DiffCommand) -> None:
    """Compare, print the differences, and write the files that are named."""
    for path in (options.out, options.page):
        if path is not None:
            fresh_file(path, options.force)
    paths = [options.log] if options.by else [(path,) for path in options.log]
    result = compare_release([open_log(options, one) for one in paths], options)
    for line in diff_lines(result):
        print_lines(line)
    if options.out is not None:
        write_text(options.out, msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n")
    if options.page is not None:
        from labelgen.report.page import render_diff

        write_text(options.page, render_diff(result))


def diff_lines(result: "ReleaseComparison") -> Iterator[str]:
    """A table for each rate, why there is none, what is known of the model's bias, and the alarm."""
    for rate in result.rates:
        yield f"share of {rate.label} among {rate.task}; {result.level:.0%} intervals; labels a side for a width of {result.width:g}"
        yield from aligned([_HEAD, *map(_row, rate.differences)], 2)
        for one in rate.differences:
            if one.by is None:
                yield f"{one.before.name} -> {one.after.name}: {one.reason or f'change of the model error, corrected by the labels: {_shown(one.bias)}'}"
        if rate.trained_on:
            yield f"{rate.trained_on:,} dialogues are left out: the model was trained on them"
        if rate.alarm is not None:
            moved = "rose" if rate.alarm.rises else "fell"
            yield f"alarm in {rate.alarm.name}: the rate of users {moved} (p {rate.alarm.p_value:.2g} at all times together)"
        elif rate.periods:
            yield f"no alarm in {len(rate.periods):,} periods; chance of a false one at most {result.false_alarms:g}"
        else:
            yield "no alarm and no rates of weeks: no dialogue has a start"


def _row(one: "SliceDifference") -> tuple[str, ...]:
    rates = (side.rate.value for side in (one.before, one.after))
    return (
        one.slice if one.by is None else f"{one.by}: {one.slice}",
        f"{one.before.name} -> {one.after.name}",
        *("-" if value is None else f"{value:.3f}" for value in rates),
        _shown(one.people_alone),
        _shown(one.prediction_powered),
        "-" if one.p_adjusted is None else f"{one.p_adjusted:.2g}",
        *("never" if n is None else f"{n:,}" for n in (one.labels, one.labels_people_alone)),
    )


def _shown(interval: "Interval") -> str:
    if interval.value is None:
        return "too few labels"
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


DIFF = Command("diff", DiffCommand, diff_command, "labelgen diff before/ after/ --slice domain --page release.html")
