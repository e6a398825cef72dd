"""Options as dataclasses: filled by one pass from YAML files, the command line and Python.

A class of options is a frozen dataclass. A field's type says what values may be, its default what holds without a value, and the
docstring below it, a noun phrase, is its help. `Annotated` adds limits (`Range`, `Choices`), the word that stands for a value in the
help (a string), and `ARGUMENT` for a positional argument of the command line.

    @dataclass(frozen=True, kw_only=True)
    class PlanOptions:
        dialogues: Annotated[int, Range(2)]
        \"\"\"number of dialogues that people annotate\"\"\"

Types: bool, int, float, str, Path, Literal, any of these or None, tuples of them (options that may be repeated), mappings from names
to them, and dataclasses of options (sections, whose keys are dotted). A class may have a method `check`, called last, which raises
UsageError for values that do not fit each other.

One pass makes the options of all sources: for each option what every source gives, of which the last is converted and checked."""

import ast
import difflib
import inspect
import math
import os
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from labelgen.base.errors import UsageError
from labelgen.base.registry import require
from labelgen.base.yaml_text import parse_yaml, read_yaml

Options = TypeVar("Options")
Rule = TypeVar("Rule")

COMMAND_LINE = "the command line"
_SHOWN = 200
"""Characters of a value in an error."""
CONFIGS = Path(__file__).parents[1] / "configs"
ANY = "*"
"""Stands in a key for a name that the user chooses, such as that of a task."""
TABLE = "{...}"
ARGUMENT = object()
"""Marks a field that is a positional argument of the command line."""


@dataclass(frozen=True, slots=True)
class Range:
    """Limits of a number, both within the range unless they are excluded."""

    least: float
    most: float = math.inf
    least_out: bool = False
    most_out: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is within the range; False for NaN and infinity."""
        above = value > self.least if self.least_out else value >= self.least
        below = value < self.most if self.most_out else value <= self.most
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        if math.isinf(self.most):
            return f"above {self.least:g}" if self.least_out else f"of {self.least:g} or more"
        low = f"above {self.least:g} and" if self.least_out else f"from {self.least:g} to"
        most = "below " if self.most_out else "at most " if self.least_out else ""
        return f"{low} {most}{self.most:g}"


@dataclass(frozen=True, slots=True)
class Choices:
    """Names that a value may have. what: one of them, for messages; names: the same, or a function that gives them."""

    what: str
    names: Collection[str] | Callable[[], Collection[str]]

    def all(self) -> list[str]:
        """The names, in their order."""
        return list(self.names() if callable(self.names) else self.names)


Count = Annotated[int, Range(1), "N"]
WholeNumber = Annotated[int, Range(0), "N"]
Share = Annotated[float, Range(0, 1), "SHARE"]
Rate = Annotated[float, Range(0, 1)]
Probability = Annotated[float, Range(0, 1, least_out=True, most_out=True), "P"]
"""A number between 0 and 1, both excluded."""
Positive = Annotated[float, Range(0)]


# Types


@dataclass(frozen=True, slots=True)
class Hint:
    """The parts of a type of options. kind: the type without None and annotations; each: of the values of a tuple or mapping."""

    kind: Any
    optional: bool = False
    rules: tuple[Any, ...] = ()
    each: "Hint | None" = None

    @classmethod
    def of(cls, hint: Any) -> "Hint":
        """The parts of a type."""
        args = get_args(hint)
        if get_origin(hint) is Annotated:
            inner = cls.of(args[0])
            return cls(inner.kind, inner.optional, (*inner.rules, *args[1:]), inner.each)
        if get_origin(hint) in (Union, types.UnionType):
            (inner,) = (cls.of(one) for one in args if one is not types.NoneType)
            return cls(inner.kind, True, inner.rules, inner.each)
        if get_origin(hint) is tuple:
            return cls(tuple, each=cls.of(args[0]))
        if get_origin(hint) is Mapping:
            return cls(Mapping, each=cls.of(args[1]))
        return cls(hint)

    @property
    def literals(self) -> tuple[Any, ...]:
        """The values of a Literal."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def repeats(self) -> bool:
        """Whether the option may be given several times."""
        return self.kind in (tuple, Mapping)

    def rule(self, kind: type[Rule]) -> Rule | None:
        """The annotation of one class, of the value or of each of its values."""
        # The outermost annotation is the last.
        nearest = next((one for one in reversed(self.rules) if isinstance(one, kind)), None)
        return self.each.rule(kind) if nearest is None and self.each is not None else nearest

    def words(self) -> str:
        """What a value may be, for people."""
        if choices := self.rule(Choices):
            return f"one of {', '.join(choices.all())}"
        if self.each is not None:
            return Hint(self.each.kind, rules=(*self.each.rules, *self.rules)).words()
        if self.literals:
            return f"one of {', '.join(map(str, self.literals))}"
        name, span = _WORDS.get(self.kind, "a table"), self.rule(Range)
        return name if span is None else f"{name} {span}"


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option. key: dotted, with ANY for names that the user chooses; default: MISSING where a value is required."""

    key: str
    hint: Hint
    default: Any
    help: str

    @property
    def argument(self) -> bool:
        """Whether it is a positional argument."""
        return ARGUMENT in self.hint.rules

    def matches(self, key: str) -> bool:
        """Whether a key means this option."""
        pattern, parts = self.key.split("."), key.split(".")
        return len(pattern) == len(parts) and all(p in (ANY, part) for p, part in zip(pattern, parts, strict=True))


def fields_of(kind: type, prefix: str = "", described: bool = False) -> Iterator[OptionField]:
    """Every option of a class and of its sections, depth first; a section comes before its options. described: with help."""
    texts = _docstrings(kind) if described else {}
    for item in fields(kind):
        key, hint = prefix + item.name, _hints(kind)[item.name]
        default = item.default if item.default_factory is MISSING else item.default_factory()
        yield OptionField(key, hint, default, texts.get(item.name, ""))
        if is_dataclass(hint.kind):
            yield from fields_of(hint.kind, f"{key}.", described)  # type: ignore[arg-type]
        elif hint.kind is Mapping and hint.each is not None:
            yield OptionField(f"{key}.{ANY}", hint.each, MISSING, "")
            if is_dataclass(hint.each.kind):
                yield from fields_of(hint.each.kind, f"{key}.{ANY}.", described)  # type: ignore[arg-type]


@cache
def _hints(kind: type) -> dict[str, Hint]:
    return {name: Hint.of(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _docstrings(kind: type) -> dict[str, str]:
    """The string below each field, also of the classes that it inherits from."""
    texts: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not is_dataclass(one) or not inspect.get_annotations(one):
            continue
        body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(below, ast.Expr):
                texts[node.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return texts


# Sources


class Given(NamedTuple):
    """A value as it was given. where: a file, the command line, or empty for Python. entry: it was given by a dotted name, so that it
    leaves other entries of a table."""

    value: Any
    where: str
    entry: bool = False


def read_options(kind: type[Options], words: Sequence[str]) -> Options:
    """Options from a command line.

    `--config FILE` (or the name of a config that labelgen brings) gives a YAML file of options; of several files, later ones win, and
    options of the command line win over files. An option that takes several values is repeated, or given as a list: `--data.train '[a, b]'`.
    A table is given as `NAME=VALUE`, repeated, as `--tasks '{goals: {}}'`, or by the dotted name of one entry,
    `--tasks.goals.weight 2`, which alone leaves the other entries of a file. Any other option that is given twice is refused.

    Raises UsageError for an unknown option, with the nearest one, for a value that the option cannot have, and for a missing one."""
    known = list(fields_of(kind))
    left, arguments, configs = list(words), list[str](), list[str]()
    given: dict[str, Any] = {}
    while left:
        word = left.pop(0)
        if word == "--":
            arguments += left
            break
        if not word.startswith("--"):
            arguments.append(word)
            continue
        name, equals, text = word.removeprefix("--").partition("=")
        key, hint = _known(name, known, kind)
        text = text if equals else _next_value(name, hint, left)
        if key == "config":
            configs.append(text)
        elif hint.repeats:
            given.setdefault(key, []).append(text)
        elif key in given:
            raise UsageError(f"{shown_name(key)} is given twice", COMMAND_LINE, "give it once")
        else:
            given[key] = text
    return _fill(kind, {**given, **_placed(arguments, known)}, configs, COMMAND_LINE)


def make_options(kind: type[Options], values: Mapping[str, Any], config: Sequence[str] = ()) -> Options:
    """Options from Python. Sections are nested dicts, or dotted names; paths may be text or Path objects.

    config: YAML files of options, or names of configs that labelgen brings; later ones win, and `values` win over files.

    Raises UsageError as `read_options` does."""
    return _fill(kind, values, config, "")


def check_options(options: Options) -> Options:
    """The options, each converted and checked, for those that were made in Python. Raises UsageError as `make_options` does."""
    return make_options(type(options), _entries(Given(options, ""), ""))


def _fill(kind: type[Options], values: Mapping[str, Any], configs: Sequence[str], where: str) -> Options:
    """The options of all sources. values: by key, which win over the configs. where: what gave the values."""
    given = [Given(read_yaml(path), str(path)) for path in map(_config, configs)]
    for key, value in values.items():
        tree = value
        for part in reversed(key.split(".")):
            tree = {part: tree}
        given.append(Given(tree, where, entry="." in key))
    made: Options = _table(Hint(kind), given, "", where)
    return made


def _config(name: str) -> Path:
    """A file, or a config of labelgen by its name, such as `base_gpu`. Raises UsageError, with the known names, for neither."""
    path = Path(name)
    if path.is_file() or path.name != name:
        return path
    known = {path.stem: path for path in sorted(CONFIGS.glob("*.yaml"))}
    if name.endswith((".yaml", ".yml")) and path.stem not in known:
        raise UsageError(f"{name} does not exist", f"config={name}", f"name a file, or one of {', '.join(known)}")
    require(name.removesuffix(".yaml"), known, "config")
    return known[name.removesuffix(".yaml")]


def _table(hint: Hint, given: Sequence[Given], key: str, where: str) -> Any:
    """A section, or a table by names of the user, from what was given for it, the earliest first. Sections are merged; a table replaces
    an earlier one, unless one entry alone was given. where: what lacks a required option."""
    prefix = f"{key}." if key else ""
    entries: dict[str, list[Given]] = {}
    for one in given:
        if hint.kind is Mapping and not one.entry:
            entries = {}
        for name, value in _entries(one, key).items():
            entries.setdefault(str(name), []).append(Given(value, one.where, one.entry))
    if hint.each is not None:
        return {name: _value(hint.each, values, f"{prefix}{name}", where) for name, values in entries.items()}
    kind: Any = hint.kind
    hints = _hints(kind)
    if unknown := next((name for name in entries if name not in hints), None):
        raise _unknown(f"{prefix}{unknown}", kind, key, entries[unknown][0].where)
    made = {name: _value(hints[name], values, f"{prefix}{name}", where) for name, values in entries.items()}
    for item in fields(kind):
        if item.name not in made and item.default is MISSING and item.default_factory is MISSING:
            _require_value(f"{prefix}{item.name}", hints[item.name], where)
    options = kind(**made)
    if hasattr(options, "check"):
        options.check()
    return options


def _require_value(key: str, hint: Hint, where: str) -> None:
    if is_dataclass(hint.kind):
        # Its first option that lacks a value is what is missing.
        _table(hint, (), key, where)
    name = key.upper() if ARGUMENT in hint.rules and where == COMMAND_LINE else shown_name(key, where)
    raise UsageError(f"{name} is required", where or key, f"give {hint.words()}")


def _entries(given: Given, key: str) -> Mapping[str, Any]:
    """The entries of a dict, a dataclass, a text `{...}` of YAML, or texts `NAME=VALUE`."""
    value, where, _ = given
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, Mapping):
        return value
    name, table = shown_name(key, where), dict[str, Any]()
    for text in value if isinstance(value, list | tuple) else [value]:
        entries = parse_yaml(text) if isinstance(text, str) and text.startswith("{") else None
        if isinstance(text, str) and entries is None and "=" in text:
            entries = dict([text.split("=", 1)])
        if not isinstance(entries, Mapping):
            raise UsageError(f"{name} is a table of options, not {text!r}", where or key, f"write {name} NAME=VALUE")
        if twice := sorted(table.keys() & entries.keys()):
            raise UsageError(f"{name} {twice[0]} is given twice", where or key, "give it once")
        table |= entries
    return table


# The command line


def shown_name(key: str, where: str = COMMAND_LINE) -> str:
    """An option as the user writes it there; a field that would be a keyword of Python, as `from_`, without its last underscore."""
    if where != COMMAND_LINE:
        return key
    return f"--{key}" if "." in key else f"--{key.rstrip('_').replace('_', '-')}"


def _known(name: str, known: Sequence[OptionField], kind: type) -> tuple[str, Hint]:
    """The key and type that a name of the command line means."""
    if name == "config":
        return name, Hint(str)
    key = name if "." in name else name.replace("-", "_")
    for item in known:
        if not item.argument and (item.matches(key) or item.key == f"{key}_"):
            return (key if ANY in item.key else item.key), item.hint
    raise _unknown(key, kind, "", COMMAND_LINE)


def _next_value(name: str, hint: Hint, words: list[str]) -> str:
    if hint.kind is bool:
        return words.pop(0) if words[:1] in (["true"], ["false"]) else "true"
    if words and (words[0] == "--" or not words[0].startswith("--")):
        return words.pop(0)
    raise UsageError(f"--{name} has no value", COMMAND_LINE, f"write --{name} VALUE")


def _placed(words: Sequence[str], known: Sequence[OptionField]) -> dict[str, Any]:
    """The words of the arguments in their order: one for each, as many as are left for the one that takes several."""
    arguments = [item for item in known if item.argument]
    single = sum(not item.hint.repeats for item in arguments)
    placed: dict[str, Any] = {}
    left = list(words)
    for item in arguments:
        if item.hint.repeats:
            several = max(0, len(left) - single)
            placed |= {item.key: left[:several]} if several else {}
            left = left[several:]
        elif left:
            placed[item.key] = left.pop(0)
            single -= 1
    if left:
        names = " ".join(item.key.upper() for item in arguments)
        hint = f"the arguments are {names}" if names else "write --OPTION VALUE"
        raise UsageError(f"unexpected argument {left[0]!r}", COMMAND_LINE, hint)
    return placed


def _unknown(key: str, kind: type, section: str, where: str) -> UsageError:
    """The error of a key that no option has, with the nearest one."""
    prefix, words = (f"{section}." if section else ""), key.split(".")
    known, name = list(fields_of(kind)), repr(shown_name(key, where))
    if where == COMMAND_LINE and any(item.key == key and item.argument for item in known):
        return UsageError(f"unknown option {name}", where, f"give {key.upper()} without a name; --help shows its place")
    patterns = [(prefix + item.key).split(".") for item in known]
    # Names that the user chooses are taken as they are.
    filled = [[words[k] if p == ANY and k < len(words) else p for k, p in enumerate(parts)] for parts in patterns]
    names = [".".join(parts) for parts in [*filled, ["config"]] if ANY not in parts]
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.3)
    hint = f"did you mean {shown_name(near[0], where)!r}?" if near else "--help lists the options"
    return UsageError(f"unknown option {name}", where or key, hint)


# Values


def _value(hint: Hint, given: Sequence[Given], key: str, where: str) -> Any:
    """The value of an option as its type wants it; of several the last one. Text is read as what the type is."""
    value, source, _ = given[-1]
    # A text may be "null"; on a command line an optional text is None where it is left out.
    if hint.optional and (value is None or (value == "null" and hint.kind not in (str, Path))):
        return None
    if hint.kind is Mapping or is_dataclass(hint.kind):
        return _table(hint, given, key, where)
    if hint.kind is tuple and hint.each is not None:
        each = Hint(hint.each.kind, hint.each.optional, (*hint.each.rules, *hint.rules), hint.each.each)
        texts = source == COMMAND_LINE and ARGUMENT not in hint.rules
        return tuple(_value(each, [Given(one, source)], key, where) for one in _listed(value, texts))
    converted = _plain(value, hint)
    span, choices = hint.rule(Range), hint.rule(Choices)
    if choices is not None and isinstance(converted, str):
        require(converted, choices.all(), choices.what)
    if converted is None or (span is not None and not span.holds(converted)):
        shown = "null" if value is None else repr(value)[:_SHOWN]
        null = " or null" if hint.optional else ""
        what = f"{shown_name(key, source)} is {shown}, which is not {hint.words()}{null}"
        raise UsageError(what, source or key, f"give {hint.words()}")
    return converted


def _listed(value: Any, texts: bool) -> Iterator[Any]:
    """The values of a list, or a single one. texts: `[a, b]` is a list too, as on a command line."""
    for one in value if isinstance(value, list | tuple) else [value]:
        several = parse_yaml(one) if texts and one.startswith("[") else one
        yield from several if isinstance(several, list) else [several]


def _plain(value: Any, hint: Hint) -> Any:
    """The value as a plain type; None for a value that is of another type."""
    text, kind = isinstance(value, str), hint.kind
    if hint.literals:
        # YAML reads the precision 32 as a number.
        return next((one for one in hint.literals if str(one) == str(value)), None)
    if kind is bool:
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(value) if text else None
    if kind is Path:
        return Path(value) if text or isinstance(value, os.PathLike) else None
    if kind is str:
        return os.fspath(value) if text or isinstance(value, os.PathLike) else None
    if isinstance(value, bool) or not (text or isinstance(value, int | float)):
        return None
    try:
        if kind is int:
            return int(value) if text or isinstance(value, int) else None
        number = float(value)
        return number if math.isfinite(number) else None
    except ValueError:
        return None
