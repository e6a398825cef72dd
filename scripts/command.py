"""What the commands of scripts share: errors told in the script's name, --out and --force, the file of a table.

@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    to = arguments(__doc__)
    to.add_argument("--seed", type=int, default=0)
    given = parsed(to, argv)
    write_table(given.out, measure(given.seed))
    return 0
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import getfile
from pathlib import Path
from typing import Any, ParamSpec

from labelgen.base.errors import LabelgenError, UsageError
from labelgen.base.files import fresh_file, write_text

P = ParamSpec("P")


def tells_errors(main: Callable[P, int]) -> Callable[P, int]:
    """The `main` of a script, which prints a LabelgenError behind the script's name and gives its exit code back."""

    @wraps(main)
    def told(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except LabelgenError as error:
            print(f"{Path(getfile(main)).stem}: {error}", file=sys.stderr)
            return error.exit_code

    return told


def arguments(text: str | None, out_required: bool = False) -> argparse.ArgumentParser:
    """A parser that shows `text` as it is written and knows --out and --force."""
    to = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument(
        "--out", type=Path, required=out_required, help="write the table here, for scripts/render_results.py"
    )
    to.add_argument("--force", action="store_true", help="replace what stands at OUT")
    return to


def parsed(to: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """What was given, so that hours of work end in no refusal: raises UsageError if OUT exists and --force is missing."""
    given = to.parse_args(argv)
    if given.out is not None:
        fresh_file(given.out, given.force)
    return given


def named(words: Sequence[str], option: str) -> dict[str, str]:
    """Raises UsageError for a word that is not NAME=PATH."""
    bad = [word for word in words if "=" not in word]
    if bad:
        raise UsageError(f"{bad[0]!r} has no name", option, f"write {option} NAME=PATH")
    return {name: path for name, _, path in (word.partition("=") for word in words)}


def write_table(path: Path | None, table: Mapping[str, Any]) -> None:
    """Write the table as scripts/render_results.py reads it; nothing where there is no path."""
    if path is not None:
        write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
