"""`python -m benchmarks`: run recipes and render the results pages."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from labelgen.base.errors import LabelgenError, UsageError

from .render import render
from .results import ROOT
from .runner import Run, load_recipe, recipe_names

RESULTS = ROOT / "results"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Run benchmarks and render their results."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the recipes")
    run = commands.add_parser("run", help="run a recipe; finished stages are cached")
    run.add_argument("recipe", help="name of a file in benchmarks/recipes, or all")
    run.add_argument("tables", nargs="*", help="tables to make (default: all of the recipe)")
    run.add_argument(
        "--data", type=Path, default=Path("corpora"), help="folder of the unpacked corpora (default %(default)s)"
    )
    run.add_argument("--work", type=Path, default=ROOT / "runs" / "benchmarks", help="folder for outputs of stages")
    run.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV files")
    run.add_argument("--jobs", type=int, default=1, help="stages at once (default %(default)s)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=YAML",
        help="another value of a parameter, such as seeds=[0]",
    )
    run.add_argument("--small", action="store_true", help="the small form of recipes that have one; needs --results")
    pages = commands.add_parser("render", help="write RESULTS.md and docs/results/ from results/*.csv")
    pages.add_argument("--check", action="store_true", help="write nothing; exit with 2 if a page differs")
    args = parser.parse_args(argv)
    try:
        if args.command == "list":
            print("\n".join(f"{name:<20} {text}" for name, text in recipe_names()))
        elif args.command == "run":
            return _run(args)
        else:
            differing = render(ROOT, args.check)
            print("\n".join(str(path) for path in differing) or "all pages equal their rendering")
            return UsageError.exit_code if args.check and differing else 0
    except LabelgenError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _run(args: argparse.Namespace) -> int:
    """Run one recipe, or all one after the other: what fails is said, and the others run."""
    if args.small and args.results == RESULTS:
        raise UsageError("small forms make no rows of the results", "--small", "give another folder by --results")
    code = 0
    names = [name for name, _ in recipe_names(args.small)] if args.recipe == "all" else [args.recipe]
    for name in names:
        began = time.monotonic()
        try:
            recipe = load_recipe(name, _parameters(args.set), args.small)
            work = (args.work / ("small" if args.small else "") / name).resolve()
            small = [stage.table for stage in recipe.stages.values() if stage.table and args.small]
            Run(recipe, args.data.resolve(), work, args.results).all(args.tables or small, args.jobs)
        except LabelgenError as error:
            if args.recipe != "all":
                raise
            print(f"{name}: {error}", file=sys.stderr)
            code = error.exit_code
        else:
            print(f"{name}: {(time.monotonic() - began) / 60:.0f} min", flush=True)
    return code


def _parameters(words: Sequence[str]) -> dict[str, object]:
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise UsageError(f"{wrong[0]!r} has no value", "--set", "write --set NAME=VALUE")
    try:
        return {name: yaml.safe_load(value) for name, _, value in (word.partition("=") for word in words)}
    except yaml.YAMLError as error:
        raise UsageError(
            f"a value is not YAML: {error}", "--set", "quote it for the shell, as in --set 'seeds=[0]'"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
