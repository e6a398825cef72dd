"""What scripts about ratings of turns and dialogues share: who says what, what several say together, arguments and tables."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import command

from labelgen.agreement.vote import Ratings, consensus
from labelgen.data.labels import QUALITY_NAMES, Annotation, At, AtTurn, Label, answers

SEED, RESAMPLES = 0, 1000


def names_of(annotation: Annotation, first_turn: int) -> dict[At, str]:
    """The quality that an annotator gives to each item, a turn or the dialogue; turns before `first_turn` are left out."""
    said: Mapping[At, tuple[Label, ...]] = answers(annotation, "quality")
    return {
        at: labels[0].name
        for at, labels in said.items()
        if labels and not (isinstance(at, AtTurn) and at.turn < first_turn)
    }


def together(people: Sequence[Annotation], ratings: Ratings, first_turn: int) -> dict[At, str]:
    """The same of what several say."""
    return names_of(consensus(people, {"quality": QUALITY_NAMES}, ratings=ratings).annotation, first_turn)


def arguments(text: str | None) -> argparse.ArgumentParser:
    """Of a table of one labeled log."""
    parser = of_a_table(text)
    parser.add_argument("log", type=Path, nargs="+", help="labeled logs; a row for each `source` in them")
    parser.add_argument("--annotator", default="model", help="who is judged (default %(default)s)")
    return parser


def of_a_table(text: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", choices=("vote", "mean"), default="vote")
    parser.add_argument("--first-turn", type=int, default=0, help="turns before it are not judged")
    parser.add_argument("--order", type=int, required=True, help="place of the table in RESULTS.md")
    parser.add_argument("--title", required=True)
    parser.add_argument("--command", help="what made the logs and this table, as RESULTS.md is to say it")
    parser.add_argument("--out", type=Path, required=True)
    return parser


def write_table(
    args: argparse.Namespace, script: str, text: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], **more: Any
) -> None:
    """Write the table to `--out`, and its rows to the terminal. more: what it says in the place of its command and its data, or beside
    them."""
    table = {
        "order": args.order,
        "title": args.title,
        "text": text,
        "command": args.command or shlex.join(["python", f"scripts/{script}.py", *sys.argv[1:]]),
        "data": f"Bootstrap over dialogues, seed {SEED}, {RESAMPLES:,} resamples.",
        "columns": columns,
        "rows": rows,
        **more,
    }
    command.write_table(args.out, table)
    for row in rows:
        print("  ".join(_shown(cell) for cell in row))


def _shown(cell: Any) -> str:
    if isinstance(cell, dict):
        low, high = (cell.get(one, cell.get(other)) for one, other in (("low", "least"), ("high", "greatest")))
        return f"{cell['value']} ({low} to {high})"
    return "-" if cell is None else str(cell)
