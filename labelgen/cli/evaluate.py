"""labelgen evaluate and report: systems against a reference, compared with the human baseline; the results as one HTML page."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.files import existing_file, fresh_file, write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, open_log
from labelgen.metrics.results import Evaluation, decode, read_drift
from labelgen.steps.evaluate import PAGE, EvaluateOptions, write_evaluation

_TABLE_WIDTH = 160


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(EvaluateOptions, LogOptions, ForceOptions):
    out: Annotated[Path, "FOLDER"]
    """output folder"""


def evaluate_command(options: EvaluateCommand) -> None:
    """Evaluate, write the folder, and print the results."""
    evaluation = write_evaluation(open_log(options), options, options.out, options.force)
    show_results(evaluation)
    print_lines("", options.out / PAGE)


EVALUATE = Command(EvaluateCommand, evaluate_command, "test.jsonl --model model/ --train train.jsonl --out evaluation/")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(ForceOptions):
    """Write the results of an evaluation as one HTML page, which needs neither network nor scripts."""

    evaluation: Annotated[Path, ARGUMENT]
    """JSON file that `labelgen evaluate` wrote"""
    out: Annotated[Path, ARGUMENT]
    """HTML file to write"""
    drift: Annotated[Path | None, "FILE"] = None
    """result of labelgen drift, shown as a section of the page"""


def report(options: ReportOptions) -> None:
    """Write the page, and print the main figures."""
    fresh_file(options.out, options.force)

    from labelgen.report.page import render

    evaluation = decode(existing_file(options.evaluation).read_bytes(), str(options.evaluation))
    drift = None if options.drift is None else read_drift(existing_file(options.drift))
    write_text(options.out, render(evaluation, drift))
    show_results(evaluation)
    print_lines("", f"wrote {options.out}")


def show_results(evaluation: Evaluation) -> None:
    """Print each task in its main metric: the systems, the human baseline, their ratio; and the caveats, to standard error."""

    from labelgen.report.page import caveats
    from labelgen.report.terminal import PlainConsole, results_table

    # A pipe or a file has no width; the table is then as wide as it wants to be.
    PlainConsole(width=None if sys.stdout.isatty() else _TABLE_WIDTH).print(results_table(evaluation))
    for caveat in caveats(evaluation):
        print_lines(f"note: {caveat}", file=sys.stderr)


REPORT = Command(ReportOptions, report, "evaluation.json report.html")
