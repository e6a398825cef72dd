"""labelgen estimate and diff: rates by labels of a model and of people, of a log, and how they changed between two."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import aligned, interval_text
from labelgen.cli.command import ResultOptions, open_log, reporting
from labelgen.data.log import Log
from labelgen.metrics.results import ReleaseComparison, SliceDifference
from labelgen.steps.estimate import DiffOptions, EstimateOptions, compare_release, estimate_rates


def rate_lines(rows: list[dict[str, Any]], options: EstimateOptions) -> Iterator[str]:
    """A table of the rates, and what was left out."""
    from labelgen.evaluation.evaluate import DIFFICULT

    table: list[tuple[str, ...]] = [("slice", "people alone", "people and model", "dialogues", "by people")]
    for row in rows:
        plain = len(set(options.slice)) < 2 or row["by"] is None
        name = row["slice"] if plain else f"{row['by']}: {row['slice']}"
        shown = (interval_text(**row[key], missing="too few") for key in ("people_alone", "prediction_powered"))
        table.append((name, *shown, f"{row['dialogues']:,}", f"{row['labeled_by_people']:,}"))
        if options.plan is not None:
            keys = ("planned_people_alone", "planned_prediction_powered")
            table.append(
                ("", *(interval_text(**row[key], missing="too few") for key in keys), "with", f"{options.plan:,}")
            )
    yield f"share of {options.label} among {options.task}, {options.confidence:.0%} intervals"
    yield from aligned(table, 3)
    whole = rows[0]
    if not whole["labeled_by_people"]:
        who = "two people of one mind" if options.reference == "consensus" else options.reference
        yield f"no dialogue has {options.task} by {who}; where one person annotated, name them: --reference NAME"
    if trained := whole["trained_on"]:
        yield f"{trained:,} dialogues are left out: {options.annotator} was trained on them, and its labels there are too good"
    if difficult := whole["drawn_for_difficulty"]:
        hint = "draw some with `labelgen review sample --strategy audit`"
        yield f"of {difficult:,} dialogues people's labels are passed over: {DIFFICULT}; {hint}"
    if divided := whole["people_divided"]:
        yield (
            f"in {divided:,} dialogues people are divided about {options.task}: the rates are of what they agree on, and biased where "
            "that is easier; a third vote, or --reference NAME, decides"
        )


@dataclass(frozen=True, kw_only=True)
class _DiffFiles(ResultOptions):
    log: Annotated[tuple[str, ...], ARGUMENT]
    """labeled log before the release, and the one after it; with --by one log"""
    page: Annotated[Path | None, "FILE"] = None
    """HTML file for the result, with the rate of each period"""


def _diff(log: Log, options: Any) -> ReleaseComparison:
    logs = [log] if options.by else [open_log(options, [path]) for path in options.log]
    return compare_release(logs, options)


def _page(result: ReleaseComparison) -> str:
    from labelgen.report.page import render_diff

    return render_diff(result)


def diff_lines(result: ReleaseComparison, _: Any) -> Iterator[str]:
    """A table for each rate, why there is none, what is known of the model's bias, and the alarm."""
    head = (
        "slice",
        "sides",
        "before",
        "after",
        "people",
        "people and model",
        "adjusted p",
        "labels",
        "of people alone",
    )
    for rate in result.rates:
        yield f"share of {rate.label} among {rate.task}; {result.level:.0%} intervals; labels a side for a width of {result.width:g}"
        yield from aligned([head, *map(_row, rate.differences)], 2)
        for one in rate.differences:
            if one.by is None:
                known = f"change of the model error, corrected by the labels: {_change(one.bias)}"
                yield f"{one.before.name} -> {one.after.name}: {one.reason or known}"
        if rate.trained_on:
            yield f"{rate.trained_on:,} dialogues are left out: the model was trained on them"
        if rate.alarm is not None:
            moved = "rose" if rate.alarm.rises else "fell"
            yield f"alarm in {rate.alarm.name}: the rate of users {moved} (p {rate.alarm.p_value:.2g} at all times together)"
        elif rate.periods:
            yield f"no alarm in {len(rate.periods):,} periods; chance of a false one at most {result.false_alarms:g}"
        else:
            yield "no alarm and no rates of weeks: no dialogue has a start"


def _row(one: SliceDifference) -> tuple[str, ...]:
    return (
        one.slice if one.by is None else f"{one.by}: {one.slice}",
        f"{one.before.name} -> {one.after.name}",
        *("-" if side.rate.value is None else f"{side.rate.value:.3f}" for side in (one.before, one.after)),
        _change(one.people_alone),
        _change(one.prediction_powered),
        "-" if one.p_adjusted is None else f"{one.p_adjusted:.2g}",
        *("never" if n is None else f"{n:,}" for n in (one.labels, one.labels_people_alone)),
    )


def _change(interval: Any) -> str:
    return interval_text(interval.value, interval.low, interval.high, "too few labels", "+.3f")


ESTIMATE = reporting(estimate_rates, rate_lines, "labeled.jsonl --slice domain", EstimateOptions, ResultOptions)
DIFF = reporting(
    _diff, diff_lines, "before/ after/ --slice domain --page release.html", DiffOptions, _DiffFiles, page=_page
)
