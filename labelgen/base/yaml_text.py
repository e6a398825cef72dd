"""YAML: files of options, values on one line, and options as text."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from labelgen.base.errors import UsageError


class _Loader(yaml.SafeLoader):
    """YAML as of version 1.2 where it matters: `off`, `no`, `on` and `yes` are words."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        letter: [(tag, form) for tag, form in rules if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
        for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses aliases: nested ones are a few lines of text and as much memory as one likes."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name), which options do not need")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Writes line breaks as escapes; PyYAML would write U+0085 as it is and read it as a space."""

    def represent_str(self, data: str) -> Any:
        quoted = '"' if "".join(data.splitlines()) != data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=quoted)


_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]
_Dumper.add_representer(str, _Dumper.represent_str)


def parse_yaml(text: str) -> Any:
    """The value of a text; text that is no YAML stays as it is."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError):
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The options in a file. Raises UsageError for a file that has none."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except RecursionError as error:
        what = "the config has lists or tables within each other on too many levels"
        raise UsageError(what, str(path), "name a YAML file of options") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the config: {error}", str(path), "name a YAML file of options") from error
    if not isinstance(content, dict):
        raise UsageError("the config holds no options", str(path), "write lines such as `seed: 1`")
    return content


def plain(options: Any) -> Any:
    """Options as nested plain values, every default written out."""
    if is_dataclass(options) and not isinstance(options, type):
        return {item.name: plain(getattr(options, item.name)) for item in fields(options)}
    if isinstance(options, Mapping):
        return {name: plain(value) for name, value in options.items()}
    if isinstance(options, list | tuple):
        return [plain(value) for value in options]
    return str(options) if isinstance(options, Path) else options


def to_yaml(options: Any, **style: Any) -> str:
    """The options as a YAML file that reads back as the same."""
    text: str = yaml.dump(plain(options), Dumper=_Dumper, sort_keys=False, allow_unicode=True, **style)
    return text


def flow_text(value: Any) -> str:
    """A value as YAML on one line."""
    return to_yaml(value, default_flow_style=True, width=1 << 20).strip()
