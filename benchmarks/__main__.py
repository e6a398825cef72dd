"""`python -m benchmarks`: run recipes and render the results pages."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from labelgen.base.errors import LabelgenError, UsageError

from .render import render
from .results import ROOT
from .runner import Run, load_recipe, recipe_names


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Run benchmarks and render their results."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the recipes")
    run = commands.add_parser("run", help="run a recipe; finished stages are cached")
    run.add_argument("recipe", help="name of a file in benchmarks/recipes")
    run.add_argument("tables", nargs="*", help="tables to make (default: all of the recipe)")
    run.add_argument(
        "--data", type=Path, default=Path("corpora"), help="folder of the unpacked corpora (default %(default)s)"
    )
    run.add_argument("--work", type=Path, default=ROOT / "runs" / "benchmarks", help="folder for outputs of stages")
    run.add_argument("--results", type=Path, default=ROOT / "results", help="folder of the CSV files")
    run.add_argument("--jobs", type=int, default=1, help="stages at once (default %(default)s)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=YAML",
        help="another value of a parameter, such as seeds=[0]",
    )
    pages = commands.add_parser("render", help="write RESULTS.md and docs/results/ from results/*.csv")
    pages.add_argument("--check", action="store_true", help="write nothing; exit with 2 if a page differs")
    args = parser.parse_args(argv)
    try:
        if args.command == "list":
            print("\n".join(f"{name:<20} {text}" for name, text in recipe_names()))
        elif args.command == "run":
            recipe = load_recipe(args.recipe, _parameters(args.set))
            Run(recipe, args.data.resolve(), (args.work / args.recipe).resolve(), args.results).all(
                args.tables, args.jobs
            )
        else:
            differing = render(ROOT, args.check)
            print("\n".join(str(path) for path in differing) or "all pages equal their rendering")
            return UsageError.exit_code if args.check and differing else 0
    except LabelgenError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parameters(words: Sequence[str]) -> dict[str, object]:
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise UsageError(f"{wrong[0]!r} has no value", "--set", "write --set NAME=VALUE")
    return {name: yaml.safe_load(value) for name, _, value in (word.partition("=") for word in words)}


if __name__ == "__main__":
    sys.exit(main())
