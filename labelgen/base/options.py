"""Options as dataclasses: one way to read them from YAML files, the command line and Python.

A class of options is a frozen dataclass. A field's type says what values may be, its default what holds without a value, and the
docstring below it, a noun phrase, is its help. `Annotated` adds limits (`Range`, `Choices`), the word that stands for a value in the
help (a string), and `ARGUMENT` for a positional argument of the command line.

    @dataclass(frozen=True, kw_only=True)
    class PlanOptions:
        dialogues: Annotated[int, Range(2)]
        \"\"\"number of dialogues that people annotate\"\"\"

Types: bool, int, float, str, Path, Literal, any of these or None, tuples of them (options that may be repeated), mappings from names
to them, and dataclasses of options (sections, whose keys are dotted). A class may have a method `check`, called last, which raises
UsageError for values that do not fit each other."""

import ast
import difflib
import inspect
import math
import os
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from labelgen.base.errors import UsageError
from labelgen.base.registry import require

Options = TypeVar("Options")
Rule = TypeVar("Rule")

COMMAND_LINE = "the command line"
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
        name, span = _WORDS.get(self.kind, "a section of options"), self.rule(Range)
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

    @property
    def word(self) -> str:
        """What stands for its value in the help."""
        written = self.hint.rule(str)
        if written is None and self.argument:
            written = self.key.upper()
        if self.hint.kind is Mapping and written != TABLE:
            return f"NAME={written or 'VALUE'}"
        kind = self.hint.each or self.hint
        named = bool(kind.literals) or self.hint.rule(Choices) is not None
        return written or {int: "N", float: "X", Path: "PATH"}.get(kind.kind, "NAME" if named else "TEXT")

    def facts(self) -> str:
        """What a value may be, how often it may be given, and the default, for the help."""
        kind = self.hint.each or self.hint
        facts = []
        if kind.literals or self.hint.rule(Choices) is not None or kind.kind in (int, float):
            facts.append(self.hint.words().removeprefix("a "))
        if self.hint.repeats and not self.argument and self.hint.rule(str) != TABLE:
            facts.append("may be repeated")
        if self.default is MISSING:
            facts += [] if self.argument or ANY in self.key else ["required"]
        elif self.default is not None and self.default is not False and self.default not in ((), {}, ""):
            facts.append(f"default {_shown(self.default)}")
        return "; ".join(facts)


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return (
        flow_text(default)
        if isinstance(default, Mapping)
        else str(default).lower()
        if default is True
        else f"{default}"
    )


def fields_of(kind: type, prefix: str = "", described: bool = False) -> Iterator[OptionField]:
    """Every option of a class and of its sections, depth first; a section comes before its options. described: with help."""
    hints = get_type_hints(kind, include_extras=True)
    texts = _docstrings(kind) if described else {}
    for item in fields(kind):
        key, hint = prefix + item.name, Hint.of(hints[item.name])
        default = item.default if item.default_factory is MISSING else item.default_factory()
        yield OptionField(key, hint, default, texts.get(item.name, ""))
        if is_dataclass(hint.kind):
            yield from fields_of(hint.kind, f"{key}.", described)  # type: ignore[arg-type]
        elif hint.kind is Mapping and hint.each is not None:
            yield OptionField(f"{key}.{ANY}", hint.each, MISSING, "")
            if is_dataclass(hint.each.kind):
                yield from fields_of(hint.each.kind, f"{key}.{ANY}.", described)  # type: ignore[arg-type]


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


# Values


def shown_name(key: str, where: str = COMMAND_LINE) -> str:
    """An option as the user writes it there; a field that would be a keyword of Python, as `from_`, without its last underscore."""
    if where != COMMAND_LINE:
        return key
    return f"--{key}" if "." in key else f"--{key.rstrip('_').replace('_', '-')}"


def convert(value: Any, hint: Hint, key: str, where: str, complete: bool = True) -> Any:
    """A value as its type wants it; text is read as what the type is. complete: make dataclasses, and raise for required options
    without a value; else sections stay dicts. Raises UsageError for a value that the option cannot have.

    where: the file or command line that the value comes from; empty for Python."""
    # A text may be "null"; on a command line an optional text is None where it is left out.
    if hint.optional and (value is None or (value == "null" and hint.kind not in (str, Path))):
        return None
    if is_dataclass(hint.kind):
        return _section(value, hint.kind, key, where, complete)  # type: ignore[arg-type]
    if hint.kind is Mapping and hint.each is not None:
        if not isinstance(value, Mapping):
            raise UsageError(f"{shown_name(key, where)} is {value!r}, not a table of options", where or key, _TABLE)
        return {str(n): convert(v, hint.each, f"{key}.{n}", where, complete) for n, v in value.items()}
    if hint.kind is tuple and hint.each is not None:
        values = value if isinstance(value, list | tuple) else [value]
        each = Hint(hint.each.kind, hint.each.optional, (*hint.each.rules, *hint.rules), hint.each.each)
        return tuple(convert(v, each, key, where) for v in values)
    converted = _plain(value, hint)
    span, choices = hint.rule(Range), hint.rule(Choices)
    if choices is not None and isinstance(converted, str):
        require(converted, choices.all(), choices.what)
    if converted is None or (span is not None and not span.holds(converted)):
        shown = "null" if value is None else repr(value)
        null = " or null" if hint.optional else ""
        raise UsageError(
            f"{shown_name(key, where)} is {shown}, which is not {hint.words()}{null}",
            where or key,
            f"give {hint.words()}",
        )
    return converted


_TABLE = "--help lists what is in it"


def _plain(value: Any, hint: Hint) -> Any:
    """The value as a plain type; None for a value that is of another type."""
    text, kind = isinstance(value, str), hint.kind
    if hint.literals:
        # YAML reads the precision 32 as a number.
        return next((one for one in hint.literals if str(one) == str(value)), None)
    if kind is bool:
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(value) if text else None
    if kind is Path:
        return Path(value) if text or isinstance(value, Path) else None
    if kind is str:
        return value if text else None
    if isinstance(value, bool) or not (text or isinstance(value, int | float)):
        return None
    try:
        if kind is int:
            return int(value) if text or isinstance(value, int) else None
        number = float(value)
        return number if math.isfinite(number) else None
    except ValueError:
        return None


def _section(value: Any, kind: type, key: str, where: str, complete: bool) -> Any:
    if isinstance(value, kind):
        value = {item.name: getattr(value, item.name) for item in fields(kind)}
    if not isinstance(value, Mapping):
        raise UsageError(f"{shown_name(key, where)} is a table of options, not {value!r}", where or key, _TABLE)
    prefix = f"{key}." if key else ""
    hints = get_type_hints(kind, include_extras=True)
    values = {}
    for name, entry in value.items():
        if name not in hints:
            _reject(f"{prefix}{name}", kind, key, where)
        values[name] = convert(entry, Hint.of(hints[name]), f"{prefix}{name}", where, complete)
    if not complete:
        return values
    for item in fields(kind):
        if item.name not in values and item.default is MISSING and item.default_factory is MISSING:
            _require_value(f"{prefix}{item.name}", Hint.of(hints[item.name]), where)
    made = kind(**values)
    if hasattr(made, "check"):
        made.check()
    return made


def _require_value(key: str, hint: Hint, where: str) -> None:
    if is_dataclass(hint.kind):
        # Its first option that lacks a value is what is missing.
        convert({}, hint, key, where)
    name = key.upper() if ARGUMENT in hint.rules and where == COMMAND_LINE else shown_name(key, where)
    raise UsageError(
        f"{name} is required", where or key, f"give {hint.words() if hint.kind is not Mapping else 'a table'}"
    )


def _reject(key: str, kind: type, section: str, where: str) -> None:
    """Raises UsageError for a key that no option has, with the nearest one."""
    prefix, words = (f"{section}." if section else ""), key.split(".")
    if where == COMMAND_LINE and any(item.key == key and item.argument for item in fields_of(kind)):
        raise UsageError(
            f"unknown option {shown_name(key, where)!r}",
            where,
            f"give {key.upper()} without a name; --help shows its place",
        )
    patterns = [(prefix + item.key).split(".") for item in fields_of(kind)]
    # Names that the user chooses are taken as they are.
    filled = [
        [words[k] if part == ANY and k < len(words) else part for k, part in enumerate(parts)] for parts in patterns
    ]
    names = [".".join(parts) for parts in [*filled, ["config"]] if ANY not in parts]
    near = difflib.get_close_matches(key, names, n=1) or difflib.get_close_matches(key, names, n=1, cutoff=0.3)
    hint = f"did you mean {shown_name(near[0], where)!r}?" if near else "--help lists the options"
    raise UsageError(f"unknown option {shown_name(key, where)!r}", where or key, hint)


def check_options(options: Options) -> Options:
    """The options, each converted and checked, for those that were made in Python. Raises UsageError as `convert` does."""
    checked: Options = convert(options, Hint(type(options)), "", "")
    return checked


def check_fields(options: Any) -> None:
    """For `__post_init__`: raises UsageError as `convert` does for a value that a field cannot have. Values are not converted."""
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        convert(getattr(options, name), Hint.of(hint), name, "")


# Reading


def read_options(kind: type[Options], *argv: Sequence[str]) -> Options:
    """Options from a command line; of several, later ones override earlier ones.

    `--config FILE` (or the name of a config that labelgen brings) gives a YAML file of options; of several files, later ones win, and
    options of the command line win over files. An option that takes several values is repeated, or given as a list: `--data.train '[a, b]'`.
    A table is given as `NAME=VALUE`, repeated, as `--tasks '{goals: {}}'`, or by the dotted name of one entry,
    `--tasks.goals.weight 2`, which alone leaves the other entries of a file. Any other option that is given twice is refused.

    Raises UsageError for an unknown option, with the nearest one, for a value that the option cannot have, and for a missing one."""
    values: dict[str, Any] = {}
    for words in argv:
        for key, value, where in _parse_words(kind, list(words)):
            nested: Any = value
            for part in reversed(key.split(".") if key else ()):
                nested = {part: nested}
            _merge(values, convert(nested, Hint(kind), "", where, complete=False), kind, entries="." in key)
    made: Options = convert(values, Hint(kind), "", COMMAND_LINE)
    return made


def make_options(kind: type[Options], values: Mapping[str, Any], config: Sequence[str] = ()) -> Options:
    """Options from Python. Sections are nested dicts, or dotted names; paths may be text or Path objects.

    config: YAML files of options, or names of configs that labelgen brings; later ones win, and `values` win over files.

    Raises UsageError as `read_options` does."""
    merged: dict[str, Any] = {}
    for path in map(_config, config):
        _merge(merged, convert(_read_yaml(path), Hint(kind), "", str(path), complete=False), kind)
    for key, value in values.items():
        nested = _without_paths(value)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(merged, convert(nested, Hint(kind), "", "", complete=False), kind, entries="." in key)
    made: Options = convert(merged, Hint(kind), "", "")
    return made


def _without_paths(value: Any) -> Any:
    """A value with text in place of paths; `convert` makes paths of text where they are wanted."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {name: _without_paths(one) for name, one in value.items()}
    return [_without_paths(one) for one in value] if isinstance(value, list | tuple) else value


def _parse_words(kind: type, words: list[str]) -> Iterator[tuple[str, Any, str]]:
    """Key, value and source of what a command line gives: first whole files, whose key is empty, then options and arguments."""
    known = {item.key: item for item in fields_of(kind)}
    options: dict[str, Any] = {}
    arguments: list[str] = []
    files: list[Path] = []
    while words:
        word = words.pop(0)
        if word == "--":
            arguments += words
            break
        if not word.startswith("--"):
            arguments.append(word)
            continue
        name, equals, text = word.removeprefix("--").partition("=")
        key, hint = ("config", Hint(str)) if name == "config" else _known(name, known, kind)
        if not equals:
            text = _next_value(name, hint, words)
        if key == "config":
            files.append(_config(text))
        else:
            _add(options, key, hint, text)
    _place(options, arguments, kind)
    yield from (("", _read_yaml(path), str(path)) for path in files)
    yield from ((key, value, COMMAND_LINE) for key, value in options.items())


def _next_value(name: str, hint: Hint, words: list[str]) -> str:
    if hint.kind is bool:
        return words.pop(0) if words[:1] in (["true"], ["false"]) else "true"
    if words and (words[0] == "--" or not words[0].startswith("--")):
        return words.pop(0)
    raise UsageError(f"--{name} has no value", COMMAND_LINE, f"write --{name} VALUE")


def _known(name: str, known: Mapping[str, OptionField], kind: type) -> tuple[str, Hint]:
    """The key and type that a name of the command line means; a beginning that fits one option is enough."""
    name = name.replace("-", "_") if "." not in name else name
    options = {key: item for key, item in known.items() if not item.argument}
    if name not in options and "." not in name:
        fits = [key for key in options if key.startswith(name) and "." not in key]
        if f"{name}_" in options:
            name = f"{name}_"
        elif name and len(fits) == 1:
            name = fits[0]
        elif len(fits) > 1:
            both = ", ".join(shown_name(key) for key in fits)
            raise UsageError(f"--{name} fits several options", COMMAND_LINE, f"write one of {both}")
    for key, item in options.items():
        pattern, parts = key.split("."), name.split(".")
        if len(pattern) == len(parts) and all(p in (ANY, part) for p, part in zip(pattern, parts, strict=True)):
            return name, item.hint
    _reject(name, kind, "", COMMAND_LINE)
    raise AssertionError


def _add(overrides: dict[str, Any], key: str, hint: Hint, text: str) -> None:
    """One more value of an option. Raises UsageError where a second value would replace the first."""
    value: Any = text
    if (hint.kind is tuple and text.startswith("[")) or (
        not hint.literals and _is_table(hint) and text.startswith("{")
    ):
        value = _yaml(text)
    if hint.kind is tuple:
        overrides[key] = [*overrides.get(key, ()), *(value if isinstance(value, list) else [value])]
        return
    if hint.kind is Mapping and isinstance(value, str):
        name, equals, entry = text.partition("=")
        if not equals:
            raise UsageError(
                f"{shown_name(key)} {text} has no value", COMMAND_LINE, f"write {shown_name(key)} NAME=VALUE"
            )
        value = {name: entry}
    if hint.kind is Mapping and isinstance(value, dict):
        value = {str(n): v for n, v in value.items()}
        before = overrides.get(key, {})
        twice = sorted(set(before) & set(value))
        if not twice:
            overrides[key] = {**before, **value}
            return
        raise UsageError(f"{shown_name(key)} {twice[0]} is given twice", COMMAND_LINE, "give it once")
    if key in overrides:
        raise UsageError(f"{shown_name(key)} is given twice", COMMAND_LINE, "give it once")
    overrides[key] = value


def _is_table(hint: Hint) -> bool:
    return hint.kind is Mapping or is_dataclass(hint.kind)


def _place(overrides: dict[str, Any], words: list[str], kind: type) -> None:
    """Give words to the arguments in their order: one to each, as many as are left to the one that takes several."""
    arguments = [item for item in fields_of(kind) if item.argument]
    single = sum(not item.hint.repeats for item in arguments)
    left = list(words)
    for item in arguments:
        if item.hint.repeats:
            taken = max(0, len(left) - single)
            if taken:
                overrides[item.key] = left[:taken]
            left = left[taken:]
        elif left:
            overrides[item.key] = left.pop(0)
            single -= 1
    if left:
        known = " ".join(item.word for item in arguments)
        hint = f"the arguments are {known}" if known else "write --OPTION VALUE"
        raise UsageError(f"unexpected argument {left[0]!r}", COMMAND_LINE, hint)


def _merge(into: dict[str, Any], values: Mapping[str, Any], kind: Any, entries: bool = False) -> None:
    """Put values into others. Sections are merged; a table of the user's names is replaced, unless one entry alone was given."""
    hints = get_type_hints(kind, include_extras=True) if is_dataclass(kind) else {}
    for name, value in values.items():
        hint = Hint.of(hints[name]) if name in hints else Hint(kind)
        inner = hint.each.kind if hint.kind is Mapping and hint.each is not None else hint.kind
        section = is_dataclass(hint.kind) or (hint.kind is Mapping and entries)
        if section and isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value, inner, entries)
        else:
            into[name] = value


def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML as of version 1.2 where it matters: `off`, `no`, `on` and `yes` are words."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            letter: [(tag, form) for tag, form in rules if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
            for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, _loader())
    except yaml.YAMLError:
        return text


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


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _loader())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the config: {error}", str(path), "name a YAML file of options") from error
    if not isinstance(content, dict):
        raise UsageError("the config holds no options", str(path), "write lines such as `seed: 1`")
    return content


# Writing


def plain(options: Any) -> Any:
    """Options as nested plain values, every default written out."""
    if is_dataclass(options) and not isinstance(options, type):
        return {item.name: plain(getattr(options, item.name)) for item in fields(options)}
    if isinstance(options, Mapping):
        return {name: plain(value) for name, value in options.items()}
    if isinstance(options, list | tuple):
        return [plain(value) for value in options]
    return str(options) if isinstance(options, Path) else options


def to_yaml(options: Any) -> str:
    """The options as a YAML file that reads back as the same."""
    return _dumped(plain(options))


def to_words(options: Any) -> list[str]:
    """A command line that reads back as the same options; those at their defaults are left out."""
    arguments: list[str] = []
    words: list[str] = []
    for item in fields_of(type(options)):
        value = _get(options, item.key)
        if is_dataclass(item.hint.kind) or ANY in item.key or value == item.default:
            continue
        name = shown_name(item.key)
        if item.argument:
            arguments += map(str, value) if isinstance(value, tuple) else [str(value)]
        elif item.hint.kind is tuple and item.hint.each is not None:
            plain_words = value and not any(str(one).startswith("[") for one in value)
            words += [f"{name}={one}" for one in value] if plain_words else [name, flow_text(plain(value))]
        elif item.hint.kind is Mapping:
            words += [name, flow_text(plain(value))]
        elif value is True:
            words.append(name)
        else:
            words.append(f"{name}={'null' if value is None else str(value).lower() if value is False else value}")
    if any(word.startswith("--") for word in arguments):
        return [*words, "--", *arguments]
    return [*arguments, *words]


def _get(options: Any, key: str) -> Any:
    for part in key.split("."):
        options = MISSING if part == ANY else getattr(options, part, MISSING)
    return options


def flow_text(value: Any) -> str:
    """A value as YAML on one line."""
    return _dumped(value, default_flow_style=True, width=1 << 20).strip()


def _dumped(value: Any, **style: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes line breaks as escapes; PyYAML would write U+0085 as it is and read it as a space."""

        def represent_str(self, data: str) -> Any:
            quoted = '"' if "".join(data.splitlines()) != data else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=quoted)

    Dumper.add_representer(str, Dumper.represent_str)
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, **style)
    return text
