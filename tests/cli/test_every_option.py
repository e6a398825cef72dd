"""Every option of every command: given twice, repeated, and the same from YAML, Python and the command line."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from labelgen.base.errors import UsageError
from labelgen.base.options import (
    ANY,
    Choices,
    Hint,
    Range,
    fields_of,
    make_options,
    read_options,
    shown_name,
)
from labelgen.base.yaml_text import flow_text, plain, to_yaml
from labelgen.cli.command import Command
from labelgen.cli.commands import COMMANDS, find_command
from labelgen.cli.main import main
from labelgen.pretraining.corruption import MIXTURE
from labelgen.tasks import TASKS

LARGEST = 1000.0
NAMES = {"tasks": tuple(TASKS), "mixture": tuple(MIXTURE)}
"""Field -> keys that its table may have."""
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ("null", "\x85", "a\x85b", "~")
)
"""Text that a command line can have."""


def commands() -> dict[str, Command[Any]]:
    """Words of a command -> the command."""
    return {name: find_command(name) for name in COMMANDS}


def options(repeated: bool) -> list[tuple[str, str]]:
    """The commands and keys of all options that take one value, or of those that may be repeated."""
    return [
        (name, item.key)
        for name, command in commands().items()
        for item in fields_of(command.options)
        if not (item.argument or ANY in item.key or is_dataclass(item.hint.kind)) and item.hint.repeats == repeated
    ]


def values(hint: Hint, name: str = "", required: bool = False) -> st.SearchStrategy[Any]:
    """Values that an option of this type and name may have, and some that its class may refuse."""
    if hint.optional:
        return st.none() | values(Hint(hint.kind, rules=hint.rules, each=hint.each), name, required)
    if is_dataclass(hint.kind):
        return instances(hint.kind)  # type: ignore[arg-type]
    choices, span = hint.rule(Choices), hint.rule(Range)
    if hint.each is not None:
        each = values(Hint(hint.each.kind, hint.each.optional, (*hint.each.rules, *hint.rules), hint.each.each))
        if hint.kind is Mapping:
            keys = st.sampled_from(NAMES[name]) if name in NAMES else TEXT
            return st.dictionaries(keys, values(hint.each), min_size=required, max_size=2)
        return st.lists(each, min_size=required, max_size=3).map(tuple)
    if choices is not None:
        return st.sampled_from(choices.all())
    if hint.literals:
        return st.sampled_from(hint.literals)
    if hint.kind is bool:
        return st.booleans()
    if hint.kind in (int, float):
        span = span or Range(-LARGEST, LARGEST)
        low, high = span.least, max(span.least, LARGEST) if math.isinf(span.most) else span.most
        numbers = st.integers(int(low), int(high)) if hint.kind is int else st.floats(low, high)
        return numbers.filter(span.holds)
    return TEXT.map(Path) if hint.kind is Path else TEXT


@st.composite
def instances(draw: st.DrawFn, kind: type) -> Any:
    """Options of a class; those that its class or a section refuses are left out."""
    hints = get_type_hints(kind, include_extras=True)
    chosen = {}
    for item in fields(kind):
        required = item.default is MISSING and item.default_factory is MISSING
        if required or draw(st.integers(0, 3)) == 0:
            chosen[item.name] = draw(values(Hint.of(hints[item.name]), item.name, required))
    try:
        return make_options(kind, chosen)
    except UsageError:
        assume(False)


def words_of(written: Any) -> list[str]:
    """A command line that gives these options."""
    words, arguments = list[str](), list[Any]()
    for item in fields_of(type(written)):
        if "." in item.key:
            continue
        value, name = getattr(written, item.key), shown_name(item.key)
        if item.argument:
            arguments += [value] if item.hint.kind is not tuple else value
        elif isinstance(value, tuple | Mapping) or is_dataclass(value):
            words.append(f"{name}={flow_text(value)}")
        elif value is not None:
            words.append(f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    return [*words, "--", *(str(one) for one in arguments if one is not None)]


@pytest.mark.parametrize("name", [name for name in commands() if name not in ("pretrain", "finetune")])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_options_are_the_same_from_python_yaml_and_the_command_line(name: str, data: st.DataObject, tmp_path: Path):
    kind = commands()[name].options
    written = data.draw(instances(kind))
    assert make_options(kind, plain(written)) == written
    (tmp_path / "options.yaml").write_text(to_yaml(written), encoding="utf-8")
    assert make_options(kind, {}, [str(tmp_path / "options.yaml")]) == written
    assert read_options(kind, words_of(written)) == written


TABLES = st.recursive(TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@settings(max_examples=200)
@given(st.lists(TABLES, max_size=3) | st.dictionaries(TEXT, TABLES, max_size=3))
def test_text_in_yaml_on_one_line_reads_back_as_the_same(value: Any):
    text = flow_text(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize(("name", "key"), options(repeated=False))
def test_single_valued_option_given_twice_exits_2_and_is_named(name: str, key: str, capsys: pytest.CaptureFixture[str]):
    option = shown_name(key)
    assert main([*name.split(), f"{option}=true", f"{option}=true"]) == 2
    assert f"{option} is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "key"), options(repeated=True))
def test_repeated_option_given_twice_is_accepted(name: str, key: str):
    option = shown_name(key)
    (item,) = (item for item in fields_of(commands()[name].options) if item.key == key)
    kind, choices = item.hint.each or item.hint, item.hint.rule(Choices)
    names = choices.all()[:2] if choices else ["0.25", "0.5"]
    if item.hint.kind is Mapping:
        keys = NAMES.get(key, ("a", "b"))
        names = [f"{{{k}: {{}}}}" if is_dataclass(kind.kind) else f"{k}=0.5" for k in keys[:2]]
    message = ""
    try:
        read_options(commands()[name].options, [f"{option}={value}" for value in names])
    except UsageError as error:
        message = str(error)
    # Without its other options the command misses something, and nothing else is wrong.
    assert not message or " is required" in message or "no log is named" in message
