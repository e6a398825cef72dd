"""Arguments that several commands share."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_file
from labelgen.base.terminal import printable
from labelgen.data.label_sets import bad_domains
from labelgen.data.log import MAX_BAD_RATE, Log
from labelgen.model.options import PRECISIONS


class _Parser(argparse.ArgumentParser):
    """Names an unknown option before anything that is missing, since it may be what was meant. Errors, which repeat words of the
    command line, are printable."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        if not {"-h", "--help"} & set(words):
            for word in words[: words.index("--") if "--" in words else None]:
                self._require(word.partition("=")[0])
        return super().parse_known_args(args, namespace)

    def _require(self, name: str) -> None:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        if name.startswith("--") and not any(option.startswith(name) for option in known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"{self.prog} --help lists the options"
            raise UsageError(f"unknown option {name!r}", "the command line", hint)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser(command: str, summary: str, example: str) -> argparse.ArgumentParser:
    """A parser whose help ends with an example that can be copied."""
    return _Parser(
        prog=f"labelgen {command}",
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_log(to: argparse.ArgumentParser, name: str = "log", nargs: str = "+") -> None:
    """Where records come from and what becomes of the bad ones."""
    to.add_argument(
        name, nargs=nargs, help="files or folders of records; - reads standard input, in labelgen's own form"
    )
    add_reading(to)


def add_reading(to: argparse.ArgumentParser) -> None:
    to.add_argument("--format", default="labelgen", help="form of the records (labelgen data formats lists them)")
    to.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the reader, may be repeated"
    )
    to.add_argument("--quarantine", type=Path, metavar="FILE", help="write rejected records with their reasons here")
    to.add_argument(
        "--max-bad-rate",
        type=share,
        default=MAX_BAD_RATE,
        metavar="RATE",
        help="fail with exit code 3 above this share of rejected records (default %(default)s)",
    )


def share(text: str) -> float:
    """The type of an option that is a part of a whole. Raises ArgumentTypeError for what is none."""
    try:
        given = float(text)
    except ValueError:
        given = -1.0
    if not 0 <= given <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; give a number from 0 to 1")
    return given


def one_or_more(text: str) -> int:
    """The type of an option that counts. Raises ArgumentTypeError for what counts nothing."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is none; give a whole number of 1 or more")
    return int(text)


def whole(text: str) -> int:
    """The type of an option such as a seed. Raises ArgumentTypeError for what is below 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is none; give a whole number of 0 or more")
    return int(text)


def add_force(to: argparse.ArgumentParser) -> None:
    to.add_argument("--force", action="store_true", help="replace what stands at the output")


def add_domains_from(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--domains-from",
        metavar="FIELD",
        help="a field of the record that lists the domains on offer in a dialogue, such as the skills that the user enabled: of "
        "names such as DOMAIN.NAME, only theirs are given; docs/how-to/label.md",
    )


def add_precision(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="arithmetic of the model, int8 of its text encoder alone; thresholds hold for the one they were certified in (default %(default)s)",
    )


def add_device(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--device", default="cpu", help="where the model runs: cpu, cuda, or cuda:N of several (default %(default)s)"
    )


def open_log(args: argparse.Namespace, name: str = "log") -> Log:
    """The log that add_log's arguments name. Records whose list of domains is asked for by add_domains_from, and is none, are rejected."""
    given = getattr(args, name)
    paths = given if isinstance(given, list) else [given]
    options = {}
    for pair in args.option:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--option {pair} has no value", "the command line", "write --option NAME=VALUE")
        options[key] = value
    field = getattr(args, "domains_from", None)
    refuses = partial(bad_domains, field=field) if field else None
    return Log(paths, args.format, options, args.quarantine, args.max_bad_rate, refuses)


def fresh_log(out: str, force: bool, made_from: Sequence[str | Path]) -> None:
    """Raises UsageError where `out` may not be written: it exists, and `force` is not given, or it is a file of the log that it
    is made from, which would be lost."""
    if out == "-":
        return
    target = fresh_file(Path(out), force).resolve()
    for path in (Path(read).resolve() for read in made_from):
        if target.exists() and (target == path or (path.is_dir() and target.is_relative_to(path))):
            raise UsageError(f"{out} is read and would be overwritten", out, "name another output")


def add_annotators(to: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """what: they do, for the help."""
    shown = "" if default is None else " (default %(default)s)"
    to.add_argument(
        "--annotators",
        default=default,
        metavar="WHO",
        help=f"{what}: kind=person, or names with commas{shown}",
    )


def add_ratings(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--ratings",
        choices=("vote", "mean"),
        default="vote",
        help="what the consensus of ratings is: the name with most votes, or that of the mean rating (default %(default)s)",
    )
