"""`python -m benchmarks`: render the results pages."""

import argparse
import sys
from collections.abc import Sequence

from labelgen.base.errors import LabelgenError

from .render import render
from .results import ROOT


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Run benchmarks and render their results."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pages = commands.add_parser("render", help="write RESULTS.md and docs/results/ from results/*.csv")
    pages.add_argument("--check", action="store_true", help="write nothing; exit with 2 if a page differs")
    args = parser.parse_args(argv)
    try:
        render(ROOT, args.check)
    except LabelgenError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
