"""`labelgen report`: one HTML page from one evaluation, and its main figures in the terminal."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from labelgen.base.errors import StorageError
from labelgen.base.files import existing_file, fresh_file, write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions

if TYPE_CHECKING:
    from labelgen.metrics.results import Evaluation

_WIDE = 160


@dataclass(frozen=True, kw_only=True)
class ReportOptions(ForceOptions):
    """Write the results of an evaluation as one HTML page, which needs neither network nor scripts."""

    evaluation: Annotated[Path, ARGUMENT]
    """JSON file that `labelgen evaluate` wrote"""
    out: Annotated[Path, ARGUMENT]
    """HTML file to write"""


def report(options: ReportOptions) -> None:
    """Write the page, and print the main figures."""
    fresh_file(options.out, options.force)

    from labelgen.report.page import render

    evaluation = _read(options.evaluation)
    write_text(options.out, render(evaluation))
    show_results(evaluation)
    print_lines("", f"wrote {options.out}")


def show_results(evaluation: "Evaluation") -> None:
    """Print each task in its main metric: the systems, the human baseline, their ratio; and the caveats, to standard error."""

    from labelgen.report.terminal import PlainConsole, results_table
    from labelgen.report.verdicts import caveats

    # A pipe or a file has no width; the table is then as wide as it wants to be.
    PlainConsole(width=None if sys.stdout.isatty() else _WIDE).print(results_table(evaluation))
    for caveat in caveats(evaluation):
        print_lines(f"note: {caveat}", file=sys.stderr)


def _read(path: Path) -> "Evaluation":
    from labelgen.metrics.results import decode

    try:
        return decode(existing_file(path).read_bytes(), str(path))
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror}", str(path), "check the path") from error


REPORT = Command("report", ReportOptions, report, "labelgen report evaluation.json report.html")
