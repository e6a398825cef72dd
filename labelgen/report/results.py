"""The table that an evaluation ends with in the terminal: each candidate beside a single annotator."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from labelgen.base.printable import printable
from labelgen.report.form import NO_RIVAL

SINGLE = "single annotator"
_BARS = ("person", "ceiling")
"""Kinds of rows that candidates are held against."""


def results_table(evaluation: Mapping[str, Any]) -> Table:
    """One line a question and candidate, in its main metric, one for the first candidate also where it does not answer; the form
    of evaluation.json is in docs/explanation/evaluation.md.

    Figures carry their intervals; `-` stands where a number is not defined. The ratio is candidate over single
    annotator: green where the verdict is that the candidate is better, red where it is worse."""
    level = evaluation["setting"]["level"]
    caption = f"intervals at {level:.0%}" + ("" if evaluation.get("rivals") else f"; {NO_RIVAL}")
    table = Table(caption=caption, caption_justify="left", box=None, pad_edge=False)
    first = evaluation["setting"].get("candidates", ())[:1]
    several = len({*first, *(name for task in evaluation["tasks"] for name in _candidates(task))}) > 1
    table.add_column("task")
    if several:
        table.add_column("labels by")
    table.add_column("metric")
    for heading in ("labels" if several else "model", SINGLE, "ratio"):
        table.add_column(heading, justify="right")
    for task in evaluation["tasks"]:
        metric = task["main_metric"]
        person = next((row for row in task["rows"] if row["candidate"] == SINGLE), None)
        lacks = [{"candidate": name, "kind": "", "metrics": {}} for name in first if name not in _candidates(task)]
        for row in (*lacks, *task["rows"]):
            if row["kind"] in _BARS:
                continue
            cells = [Text(printable(task["name"]))]
            cells += [Text(printable(row["candidate"]))] if several else []
            cells += [Text(printable(metric).replace("_", " ")), _figure(row["metrics"].get(metric))]
            if row in lacks:
                cells[-1] = Text("not answered", "bright_black")
            cells += [
                _figure(person["metrics"].get(metric) if person else None),
                _ratio(task, row["candidate"], metric),
            ]
            table.add_row(*cells)
    return table


def _candidates(task: Mapping[str, Any]) -> list[str]:
    return [row["candidate"] for row in task["rows"] if row["kind"] not in _BARS]


def _figure(estimate: Mapping[str, Any] | None) -> Text:
    """Value and interval, such as `.873 [.851, .894]`."""
    if estimate is None or estimate["value"] is None:
        return Text("-", "bright_black")
    text = Text(_number(estimate["value"]))
    if estimate["low"] is not None and estimate["high"] is not None:
        text.append(f" [{_number(estimate['low'])}, {_number(estimate['high'])}]", "bright_black")
    return text


def _ratio(task: Mapping[str, Any], candidate: str, metric: str) -> Text:
    found = next(
        (r for r in task["ratios"] if (r["candidate"], r["over"], r["metric"]) == (candidate, SINGLE, metric)), None
    )
    text = _figure(found)
    verdict = next((one["verdict"] for one in task.get("verdicts", ()) if one["candidate"] == candidate), None)
    if verdict in ("better", "uncompared"):
        text.stylize("green")
    elif verdict == "worse":
        text.stylize("red")
    return text


def _number(value: float) -> str:
    """Three decimals without a leading zero."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"
