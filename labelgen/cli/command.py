"""Commands, and the options that several of them share."""

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, field, is_dataclass, make_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_write, fresh_file, write_json, write_text
from labelgen.base.options import ANY, ARGUMENT, TABLE, Choices, OptionField, Share, fields_of, read_options, shown_name
from labelgen.base.terminal import print_lines, progress
from labelgen.base.yaml_text import flow_text
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import bad_domains
from labelgen.data.log import MAX_BAD_RATE, Log, Quarantine, write_log
from labelgen.data.reader import READERS
from labelgen.steps import shared
from labelgen.steps.shared import Changed
from labelgen.steps.shared import ForceOptions as ForceOptions

Options = TypeVar("Options")

_LEAST_WIDTH, _MOST_WIDTH = 60, 110


@dataclass(frozen=True, slots=True)
class Command(Generic[Options]):
    """A command of labelgen: a class of options, whose docstring is the summary, and a function of these options that returns an
    exit code, or None for 0. example: lines of words that can be copied. name: its words, which commands.py gives it."""

    options: type[Options]
    run: Callable[[Options], int | None]
    example: str
    name: str = ""

    def main(self, argv: Sequence[str]) -> int:
        """Run the command with the words of a command line."""
        words = list(argv)
        if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
            print_lines(*self.help().split("\n"))
            return 0
        return self.run(read_options(self.options, words)) or 0

    def help(self) -> str:
        """Usage, summary, arguments, options with types and defaults, and the example."""
        items = [item for item in fields_of(self.options, described=True) if not item.key.endswith(ANY)]
        arguments = [item for item in items if item.argument]
        usage = "".join(f" {_usage(item)}" for item in arguments)
        # A class without a docstring has one that dataclass made of its fields.
        texts = (one.__doc__ or "" for one in self.options.__mro__)
        summary = inspect.cleandoc(next(text for text in texts if not text.startswith(f"{self.options.__name__}(")))
        lines = [f"usage: labelgen {self.name}{usage} [--OPTION VALUE ...]", "", *_wrapped(summary)]
        if arguments:
            lines += ["", "arguments:", *(line for item in arguments for line in _entry(_word(item), item))]
        lines += ["", "options:"]
        for item in sorted(items, key=self._rank):
            name = shown_name(item.key.replace(ANY, "NAME"))
            if is_dataclass(item.hint.kind):
                lines += ["", *_wrapped(f"{item.key}: {item.help}")]
            elif not item.argument:
                lines += _entry(name if item.hint.kind is bool else f"{name} {_word(item)}", item)
        config = (
            "YAML file of options, or the name of a shipped config such as base_gpu (may be repeated; later ones win)"
        )
        lines += ["", *_columns("--config FILE", config), *_columns("-h, --help", "this text"), "", "example:"]
        return "\n".join([*lines, *(f"  labelgen {self.name} {line}".rstrip() for line in self.example.split("\n"))])

    def _rank(self, item: OptionField) -> tuple[bool, bool, bool]:
        """Required options come first, then those of the command, then those that it shares with others, then sections."""
        section, first = "." in item.key or is_dataclass(item.hint.kind), item.key.partition(".")[0]
        modules = (__name__, shared.__name__)
        in_common = any(first in one.__annotations__ for one in self.options.__mro__ if one.__module__ in modules)
        return section, item.default is not MISSING, in_common


def _usage(item: OptionField) -> str:
    word = f"{_word(item)} ..." if item.hint.repeats else _word(item)
    return word if item.default is MISSING else f"[{word}]"


def _word(item: OptionField) -> str:
    """What stands for the value of an option."""
    kind, written = item.hint.each or item.hint, item.hint.rule(str)
    if written is None and item.argument:
        return item.key.upper()
    if item.hint.kind is Mapping and written != TABLE:
        return f"NAME={written or 'VALUE'}"
    named = bool(kind.literals) or item.hint.rule(Choices) is not None
    return written or {int: "N", float: "X", Path: "PATH"}.get(kind.kind, "NAME" if named else "TEXT")


def _entry(head: str, item: OptionField) -> list[str]:
    """An option, with what a value may be, how often it may be given, and the default."""
    kind, default, facts = item.hint.each or item.hint, item.default, []
    if kind.literals or item.hint.rule(Choices) is not None or kind.kind in (int, float):
        facts.append(item.hint.words().removeprefix("a "))
    if item.hint.repeats and not item.argument and item.hint.rule(str) != TABLE:
        facts.append("may be repeated")
    if default is MISSING:
        facts += [] if item.argument or ANY in item.key else ["required"]
    elif default is not None and default is not False and default not in ((), {}, ""):
        facts.append(
            f"default {', '.join(map(str, default)) if isinstance(default, tuple) else flow_text(default) if isinstance(default, Mapping) else str(default).lower() if default is True else default}"
        )
    return _columns(head, f"{item.help} ({'; '.join(facts)})" if facts else item.help)


def _columns(head: str, text: str) -> list[str]:
    first, *rest = _wrapped(text, " " * 26)
    return [f"  {head:<24}{first.strip()}" if len(head) < 23 else f"  {head}\n{first}", *rest]


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Lines as wide as the terminal, or as COLUMNS says."""
    width = min(max(shutil.get_terminal_size((_MOST_WIDTH, 24)).columns, _LEAST_WIDTH), _MOST_WIDTH)
    wrap = partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    return wrap(text, initial_indent=indent, subsequent_indent=indent) or [indent]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a log of labelgen's records is read."""

    quarantine: Annotated[Path | None, "FILE"] = None
    """file for rejected records and the reasons"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of rejected records above which the command fails with exit code 3"""


@dataclass(frozen=True, kw_only=True)
class LogOptions(ReadOptions):
    """Which logs are read, and how."""

    log: Annotated[tuple[str, ...], ARGUMENT]
    """files or folders of records; - reads standard input, in labelgen's record form"""


@dataclass(frozen=True, kw_only=True)
class FormOptions(LogOptions):
    """Which logs are read, and in which form."""

    format: Annotated[str, Choices("format", READERS), "FORMAT"] = "labelgen"
    """form of the records; docs/how-to/read-a-log.md"""
    option: Mapping[str, str] = field(default_factory=dict)
    """option of the reader of that form"""


@dataclass(frozen=True, kw_only=True)
class OneLogOptions(ReadOptions):
    """Which log is read, and how."""

    log: Annotated[str, ARGUMENT]
    """file or folder of records; - reads standard input, in labelgen's record form"""


@dataclass(frozen=True, kw_only=True)
class ResultOptions(LogOptions, ForceOptions):
    """A log, and the file of a result."""

    out: Annotated[Path | None, "FILE"] = None
    """JSON file for the result"""


def _paths(options: Any) -> Sequence[str]:
    return [options.log] if isinstance(options.log, str) else options.log


def open_log(
    options: Any, paths: Sequence[str] = (), domains_from: str | None = None, quarantine: Quarantine | None = None
) -> Log:
    """The log that ReadOptions name. paths: in place of the options' `log`. domains_from: records whose list of domains in this field is
    none are rejected; by default the options' one, if they have one. quarantine: an open one, in place of the options' file."""
    paths = paths or _paths(options)
    domains_from = domains_from or getattr(options, "domains_from", None)
    refuses = partial(bad_domains, field=domains_from) if domains_from else None
    where = options.quarantine if quarantine is None else quarantine
    form, option = getattr(options, "format", "labelgen"), dict(getattr(options, "option", {}))
    return Log(list(paths), form, option, where, options.max_bad_rate, refuses)


def fresh_log(out: str | Path, force: bool, made_from: Sequence[str | Path]) -> None:
    """Raises UsageError where `out` may not be written: it exists without `force`, or it is a file of the log that it
    is made from, which would be lost."""
    if str(out) == "-":
        return
    target = fresh_file(Path(out), force).resolve()
    for path in (Path(read).resolve() for read in made_from):
        if target.exists() and (target == path or (path.is_dir() and target.is_relative_to(path))):
            raise UsageError(f"{out} is read and would be overwritten", str(out), "name another output")


@dataclass(frozen=True, kw_only=True)
class RewriteOptions(OneLogOptions, ForceOptions):
    """A log, and the output of its records."""

    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""


def joined(*parts: type) -> type[Any]:
    """One class of options of several; the name and summary are those of the first."""
    return make_dataclass(parts[0].__name__, [], bases=parts, frozen=True, kw_only=True)


def rewriting(step: Callable[[Iterable[Dialogue], Any], Changed], options: type, example: str) -> Command[Any]:
    """The command that writes a log as a step changes it, and prints what was added. options: those of the step."""

    def run(options: Any) -> None:
        fresh_log(options.out, options.force, [options.log])
        log = open_log(options)
        made = step(log, options)
        changed = progress(made.dialogues, made.what, "dialogues")
        count = write_log(options.out, changed, log.labels(), options.force)
        print_lines(*made.lines(count), file=sys.stderr if options.out == "-" else sys.stdout)

    return Command(joined(options, RewriteOptions), run, example)


def reporting(
    step: Callable[[Log, Any], Any],
    lines: Callable[[Any, Any], Iterable[str]],
    example: str,
    *parts: type,
    page: Callable[[Any], str] | None = None,
) -> Command[Any]:
    """The command that prints the result of a step on a log, writes it as JSON if `out` names a file, and as HTML if `page` does.

    Args:
        lines: what is printed of a result, with the options.
        parts: classes of options, those of the step first.
        page: the HTML of a result."""

    def run(options: Any) -> None:
        out, html = (getattr(options, key, None) for key in ("out", "page"))
        for path in (out, html):
            if path is not None:
                fresh_log(path, options.force, _paths(options))
        result = step(open_log(options), options)
        print_lines(*lines(result, options))
        if out is not None:
            write_json(out, result)
        if html is not None and page is not None:
            write_text(html, page(result))

    return Command(joined(*parts), run, example)


def write_lines(out: str, records: Iterable[Any]) -> int:
    """Write JSON Lines to a file, or `-` for standard output; returns their number. Raises UsageError for another ending of the name."""
    if out != "-" and not out.endswith(".jsonl"):
        raise UsageError(f"cannot tell the form of {Path(out).name}", out, "let the name end in .jsonl")
    count = 0
    with nullcontext(sys.stdout.buffer) if out == "-" else atomic_write(Path(out)) as file:
        for record in records:
            file.write(msgspec.json.encode(record) + b"\n")
            count += 1
    return count
