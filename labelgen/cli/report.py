"""`labelgen report`: one HTML page from one evaluation, and its main figures in the terminal."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import InputError, StorageError
from labelgen.base.files import existing_file, fresh_file, write_text
from labelgen.base.printable import print_lines
from labelgen.cli.arguments import add_force, parser

_WIDE = 160


def main(argv: Sequence[str]) -> int:
    """Write the page; it needs neither network nor script."""
    arguments = parser(
        "report",
        "Write what an evaluation found as one HTML page: the answer, whether it can be trusted, where it is weak.",
        "labelgen report evaluation.json report.html",
    )
    arguments.add_argument("evaluation", type=Path, help="the JSON file that `labelgen evaluate` wrote")
    arguments.add_argument("out", type=Path, help="the HTML file to write")
    add_force(arguments)
    args = arguments.parse_args(argv)
    fresh_file(args.out, args.force)

    from labelgen.report.page import render

    evaluation = _read(args.evaluation)
    write_text(args.out, render(evaluation))
    show_results(evaluation)
    print_lines("", f"wrote {args.out}")
    return 0


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
