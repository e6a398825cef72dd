"""Commands, and the options that several of them share."""

import inspect
import shlex
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, Literal, TypeVar

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_file
from labelgen.base.options import (
    ANY,
    ARGUMENT,
    Choices,
    OptionField,
    Share,
    fields_of,
    read_options,
    shown_name,
    to_words,
)
from labelgen.base.terminal import print_lines
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import bad_domains
from labelgen.data.labels import Annotation
from labelgen.data.log import MAX_BAD_RATE, Log, Quarantine
from labelgen.data.reader import READERS
from labelgen.kernels.precision import Precision
from labelgen.training.options import WandbMode

if TYPE_CHECKING:
    from labelgen.model.annotator import Annotator

Options = TypeVar("Options")

_LEAST_WIDTH, _MOST_WIDTH = 60, 110


@dataclass(frozen=True, slots=True)
class Command(Generic[Options]):
    """A command of labelgen: a class of options, whose docstring is the summary, and a function of these options that returns an
    exit code, or None for 0. example: command lines that can be copied."""

    name: str
    options: type[Options]
    run: Callable[[Options], int | None]
    example: str

    def main(self, argv: Sequence[str]) -> int:
        """Run the command with the words of a command line."""
        words = list(argv)
        if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
            print_lines(*self.help().split("\n"))
            return 0
        return self.run(read_options(self.options, words)) or 0

    def line(self, options: Options) -> str:
        """A command line that gives these options."""
        return shlex.join(["labelgen", *self.name.split(), *to_words(options)])

    def help(self) -> str:
        """Usage, summary, arguments, options with types and defaults, and the example."""
        items = [item for item in fields_of(self.options, described=True) if not item.key.endswith(ANY)]
        arguments = [item for item in items if item.argument]
        usage = "".join(f" {_usage(item)}" for item in arguments)
        summary = inspect.cleandoc(self.options.__doc__ or "")
        lines = [f"usage: labelgen {self.name}{usage} [--OPTION VALUE ...]", "", *_wrapped(summary)]
        if arguments:
            lines += ["", "arguments:", *(line for item in arguments for line in _entry(item.word, item))]
        lines += ["", "options:"]
        for item in sorted(items, key=self._rank):
            name = shown_name(item.key.replace(ANY, "NAME"))
            if is_dataclass(item.hint.kind):
                lines += ["", *_wrapped(f"{item.key}: {item.help}")]
            elif not item.argument:
                lines += _entry(name if item.hint.kind is bool else f"{name} {item.word}", item)
        config = (
            "YAML file of options, or the name of a shipped config such as base_gpu (may be repeated; later ones win)"
        )
        lines += ["", *_columns("--config FILE", config), *_columns("-h, --help", "this text"), "", "example:"]
        return "\n".join([*lines, *(f"  {line}" for line in self.example.split("\n"))])

    def _rank(self, item: OptionField) -> tuple[bool, bool, bool]:
        """Required options come first, then those of the command, then those that it shares with others, then sections."""
        section, first = "." in item.key or is_dataclass(item.hint.kind), item.key.partition(".")[0]
        return section, item.default is not MISSING, first not in self.options.__annotations__


def _usage(item: OptionField) -> str:
    word = f"{item.word} ..." if item.hint.repeats else item.word
    return word if item.default is MISSING else f"[{word}]"


def _entry(head: str, item: OptionField) -> list[str]:
    facts = item.facts()
    return _columns(head, f"{item.help} ({facts})" if facts else item.help)


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
    """How a log is read."""

    format: Annotated[str, Choices("format", READERS), "FORMAT"] = "labelgen"
    """form of the records; docs/how-to/read-a-log.md"""
    option: Mapping[str, str] = field(default_factory=dict)
    """option of the reader of that form"""
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
class OneLogOptions(ReadOptions):
    """Which log is read, and how."""

    log: Annotated[str, ARGUMENT]
    """file or folder of records; - reads standard input, in labelgen's record form"""


@dataclass(frozen=True, kw_only=True)
class ForceOptions:
    """Whether an output is replaced."""

    force: bool = False
    """replacement of existing output"""


@dataclass(frozen=True, kw_only=True)
class ModelRunOptions:
    """How a model computes labels."""

    precision: Precision = "32"
    """arithmetic of the model, int8 for its text encoder alone; a certified threshold holds for one precision"""
    device: Annotated[str, "DEVICE"] = "cpu"
    """device of the model: cpu, cuda, or cuda:N for one of several"""
    domains_from: Annotated[str | None, "FIELD"] = None
    """field of the record that lists the domains on offer in a dialogue, such as the skills that the user enabled; of names such as
    DOMAIN.NAME only theirs are predicted"""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Whether results go to the run of the training in Weights & Biases."""

    wandb: WandbMode | None = None
    """Weights & Biases: results go to the run of the model's training, in its folder or at its service; without a value offline if the
    model is in the folder of a training with a run, else off"""
    wandb_files: bool = False
    """files in Weights & Biases, besides their digests: those of the model, or the report, which has texts and ids"""


@dataclass(frozen=True, kw_only=True)
class ConsensusOptions:
    """Whose annotations make the consensus, and how."""

    annotators: Annotated[tuple[str, ...], "WHO"] = ("kind=person",)
    """annotators whose labels make the consensus: names, or kind=person for all people"""
    ratings: Literal["vote", "mean"] = "vote"
    """consensus of ratings: the name with most votes, or that of the mean rating"""


def open_log(
    options: ReadOptions, paths: Sequence[str], domains_from: str | None = None, quarantine: Quarantine | None = None
) -> Log:
    """The log at the paths. domains_from: records whose list of domains in this field is none are rejected. quarantine: an open one,
    in place of the options' file."""
    refuses = partial(bad_domains, field=domains_from) if domains_from else None
    where = options.quarantine if quarantine is None else quarantine
    return Log(list(paths), options.format, dict(options.option), where, options.max_bad_rate, refuses)


def fresh_log(out: str | Path, force: bool, made_from: Sequence[str | Path]) -> None:
    """Raises UsageError where `out` may not be written: it exists without `force`, or it is a file of the log that it
    is made from, which would be lost."""
    if str(out) == "-":
        return
    target = fresh_file(Path(out), force).resolve()
    for path in (Path(read).resolve() for read in made_from):
        if target.exists() and (target == path or (path.is_dir() and target.is_relative_to(path))):
            raise UsageError(f"{out} is read and would be overwritten", str(out), "name another output")


def joined_names(annotators: Sequence[str]) -> str:
    """The annotators as one text, as a setting has them. Raises UsageError for a name with a comma."""
    for name in annotators:
        if "," in name:
            hint = "repeat the option for each name: --annotators anna --annotators ben"
            raise UsageError(f"{name!r} names no people: a name has no comma", "--annotators", hint)
    return ",".join(annotators)


class AudioFolders:
    """The folder of each dialogue's audio files, that of its record file; known after the dialogue was read. Memory: an entry for each
    dialogue."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._folders: dict[str, Path | None] = {}

    def __iter__(self) -> Iterator[Dialogue]:
        for dialogue in self._log:
            self._folders[dialogue.id] = self._log.folder
            yield dialogue

    def annotate(
        self, annotator: "Annotator", dialogues: Sequence[Dialogue], goals_from: str | None = None
    ) -> list[Annotation]:
        """A model's annotations of dialogues that were read, in their order."""
        out = []
        for folder, group in groupby(dialogues, key=lambda dialogue: self._folders[dialogue.id]):
            out += annotator.annotate(list(group), goals_from, root=folder)
        return out
