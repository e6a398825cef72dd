"""YAML files and overrides into option dataclasses, and back. Imports no torch."""

import difflib
from argparse import SUPPRESS
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from labelgen.base.errors import UsageError
from labelgen.base.registry import require
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions
from labelgen.training.options import FREE, TrainingOptions
from labelgen.training.typed import typed

Options = TypeVar("Options", bound=TrainingOptions)
Held = dict[str, Any]

_CONFIGS = Path(__file__).parents[1] / "configs"

ANY = "*"
"""Stands in a key for a name that the user chooses, such as a task."""


def parse(kind: type[Options], command: str, summary: str, example: str, argv: Sequence[str]) -> Options:
    """Options from `--config FILE` (or the name of one of labelgen's own) and `--key.subkey VALUE`, each repeatable; later ones win, overrides over files.

    What a file, or an override such as `--tasks '{goals: {}}'`, says of an option whose names the user chooses replaces
    what was said of it before; an override of one name, such as `--tasks.goals.weight 2`, adds to it. Raises UsageError
    for an unknown key, with the nearest one, and for a value of the wrong type."""
    parser = _parser(kind, command, summary, example)
    if {"-h", "--help"} & set(argv):
        _print_help(parser)
        raise SystemExit(0)
    given = _gather(argv, kind)
    try:
        values = vars(parser.instantiate(parser.parse_object(given)))
    except Exception as error:
        # jsonargparse raises errors of argparse and of its own; all of them are about what the user gave.
        raise UsageError(str(error), f"labelgen {command}", f"labelgen {command} --help lists the options") from error
    options = kind(**{key: value for key, value in values.items() if key != "config"})
    for task in options.tasks:
        require(task, TASKS, "task")
    if not options.tasks:
        raise UsageError("no task to learn", "tasks", "name at least one, such as --tasks.quality.weight=1")
    return options


def _parser(kind: type[TrainingOptions], command: str, summary: str, example: str) -> ArgumentParser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=f"labelgen {command}",
        usage=f"labelgen {command} [--config FILE ...] [--OPTION VALUE ...]",
        description=summary,
        epilog=f"example: {example}",
        exit_on_error=False,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of options, or the name of a config that labelgen brings, such as base_gpu; may be repeated, later ones win",
    )
    parser.add_class_arguments(kind, None)
    return parser


def _print_help(parser: ArgumentParser) -> None:
    """Without what jsonargparse offers besides and is not read here: files and help of single sections."""
    parser.add_class_arguments(TaskOptions, "tasks.NAME")
    for action in parser._actions:
        if action.metavar == "CONFIG" or action.dest.endswith(".help"):
            action.help = SUPPRESS
    parser.print_help()


def known_keys(kind: type, prefix: str = "") -> Iterator[str]:
    """Every key of a dataclass and of those within it, dotted; a section is followed by its keys."""
    hints = get_type_hints(kind)
    for item in fields(kind):
        key, hint = prefix + item.name, hints[item.name]
        yield key
        if is_dataclass(hint):
            yield from known_keys(hint, f"{key}.")  # type: ignore[arg-type]
        elif get_origin(hint) is Mapping:
            yield f"{key}.{ANY}"
            inner: type = get_args(hint)[1]
            if is_dataclass(inner):
                yield from known_keys(inner, f"{key}.{ANY}.")


def _gather(argv: Sequence[str], kind: type[TrainingOptions]) -> Held:
    # Gathered and checked here, since jsonargparse names no near key, tells types as Python does, and cannot replace a
    # table by a later file.
    known = tuple(known_keys(kind))
    given: Held = {}
    overrides: list[tuple[str, Any]] = []
    words = iter(argv)
    for word in words:
        name, equals, text = word.partition("=")
        if not name.startswith("--"):
            raise UsageError(f"{word!r} is no option", "the command line", "write --OPTION VALUE")
        if name != "--config":
            _check(_nested(name.removeprefix("--"), {}), "", (*known, "config"), "the command line")
        value = text if equals else next(words, None)
        if value is None:
            raise UsageError(f"{name} has no value", "the command line", f"write {name} VALUE")
        if name == "--config":
            held = _read(_config(value))
            _check(held, "", known, value)
            _merge(given, typed(held, kind, "", value), "", known)
        else:
            overrides.append((name.removeprefix("--"), _scalar(value)))
    for key, value in overrides:
        held = _nested(key, value)
        _check(held, "", known, "the command line")
        _merge(given, typed(held, kind, "", "the command line"), "", known if f"{key}.{ANY}" in known else ())
    return given


def _nested(key: str, value: Any) -> Held:
    held = value
    for part in reversed(key.split(".")):
        held = {part: held}
    return held  # type: ignore[no-any-return]


class _Loader(yaml.SafeLoader):
    """YAML as of version 1.2 where it matters: `off`, `no`, `on` and `yes` are words."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        letter: [(tag, form) for tag, form in found if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
        for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _scalar(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def _config(given: str) -> Path:
    """A file, or one of labelgen's own configs by its name, such as `base_gpu`. Raises UsageError, with those there are, where it is neither."""
    path, name = Path(given), given.removesuffix(".yaml")
    if path.is_file() or path.name != given:
        return path
    own = {path.stem: path for path in sorted(_CONFIGS.glob("*.yaml"))}
    require(name, own, "config")
    return own[name]


def _read(path: Path) -> Held:
    try:
        held = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the config: {error}", str(path), "name a YAML file of options") from error
    if not isinstance(held, dict):
        raise UsageError("the config holds no options", str(path), "write lines such as `seed: 1`")
    return held


def _merge(into: Held, held: Held, prefix: str, replaced: Sequence[str]) -> None:
    """Tables are merged; those with names of the user's own, if they are in `replaced`, are not."""
    for key, value in held.items():
        own_names = f"{prefix}{key}.{ANY}" in replaced
        if isinstance(value, dict) and isinstance(into.get(key), dict) and not own_names:
            _merge(into[key], value, f"{prefix}{key}.", replaced)
        else:
            into[key] = value


def _check(held: Held, prefix: str, known: Sequence[str], where: str) -> None:
    for name, value in held.items():
        key = f"{prefix}{name}"
        if not any(_fits(key, pattern) for pattern in known):
            _reject(key, known, where)
        if isinstance(value, dict):
            _check(value, f"{key}.", known, where)
        elif any(_fits(f"{key}.{ANY}", pattern, section=True) for pattern in known):
            raise UsageError(f"{key!r} is a table of options, not {value!r}", where, "--help lists what is in it")


def _reject(key: str, known: Sequence[str], where: str) -> None:
    words = key.split(".")
    concrete = [_fill(pattern, words) for pattern in known]
    alike = [name for name in concrete if name.count(".") == len(words) - 1]
    near = difflib.get_close_matches(key, alike, n=1) or difflib.get_close_matches(key, concrete, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}?" if near else "--help lists the options"
    raise UsageError(f"unknown option {key!r}", where, hint)


def _fits(key: str, pattern: str, section: bool = False) -> bool:
    """section: whether the key's own last word may be any."""
    ours, theirs = key.split("."), pattern.split(".")
    if len(ours) != len(theirs):
        return False
    return all(t in (ANY, o) or (section and o == ANY) for o, t in zip(ours, theirs, strict=True))


def _fill(pattern: str, words: Sequence[str]) -> str:
    parts = pattern.split(".")
    return ".".join(words[i] if part == ANY and i < len(words) else part for i, part in enumerate(parts))


def plain(options: TrainingOptions) -> Held:
    """The options as nested plain values, every default written out."""
    held: Held = _lists(asdict(options))
    return held


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(v) for key, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, list | tuple) else value


def to_yaml(options: TrainingOptions) -> str:
    """The resolved config, as it is saved with the run."""
    return yaml.safe_dump(plain(options), sort_keys=False, allow_unicode=True)


def differences(saved: Mapping[str, Any], options: TrainingOptions) -> list[str]:
    """Dotted keys whose values differ and may not (see FREE), with both values."""
    before, now = dict(_leaves(saved)), dict(_leaves(plain(options)))
    return [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key) and not key.startswith(FREE)
    ]


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, held in value.items():
        if isinstance(held, Mapping):
            yield from _leaves(held, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", held
