"""`labelgen report`: one HTML page from one evaluation, and its main figures in the terminal."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from labelgen.base.errors import InputError, StorageError
from labelgen.base.files import existing_file, fresh_file, write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.printable import print_lines
from labelgen.cli.command import Command, ForceOptions

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


def show_results(evaluation: Mapping[str, Any]) -> None:
    """Print each question in its main metric: the candidates, a single annotator, their ratio; and, as errors are, what is to be
    known before any figure."""

    from labelgen.report.caveats import caveats
    from labelgen.report.form import read
    from labelgen.report.results import results_table
    from labelgen.report.terminal import PlainConsole

    # A pipe or a file has no width; the table is then as wide as it wants to be.
    PlainConsole(width=None if sys.stdout.isatty() else _WIDE).print(results_table(evaluation))
    for caveat in caveats(read(evaluation)):
        print_lines(f"note: {caveat}", file=sys.stderr)


def _read(path: Path) -> dict[str, object]:
    try:
        plain = msgspec.json.decode(existing_file(path).read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror}", str(path), "check the path") from error
    except msgspec.DecodeError as error:
        raise InputError(
            f"this is no JSON: {error}", str(path), "give an evaluation as `labelgen evaluate` wrote it"
        ) from error
    if not isinstance(plain, dict):
        raise InputError("this is no evaluation: not a JSON object", str(path), "give what `labelgen evaluate` wrote")
    return plain


REPORT = Command("report", ReportOptions, report, "labelgen report evaluation.json report.html")
