"""Registries: named implementations, built in or installed as plug-ins (entry points), imported on first use.

A registry maps a name to `"module:object"` or `"module"`. Configs, models and commands give names only, so no file can
choose which code runs. A plug-in is any installed distribution that declares an entry point in the registry's group, as in
its `pyproject.toml`:

    [project.entry-points."labelgen.detectors"]
    sigh = "my_package.sigh"
"""

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NoReturn

from labelgen.base.errors import UsageError


class Registry(Mapping[str, str]):
    """Built-in names in their order, then those of installed plug-ins by name; each with its module and object.

    Args:
        group: the entry point group that plug-ins declare, such as `labelgen.detectors`.
        builtin: name -> `"module:object"` or `"module"`.

    Any use raises UsageError where a plug-in takes a name that is built in or that another plug-in has."""

    def __init__(self, group: str, builtin: Mapping[str, str]) -> None:
        self.group = group
        self.builtin = builtin
        self._known: Mapping[str, str] = {}
        self._path: list[str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._entries()[name]

    def __contains__(self, name: object) -> bool:  # asked for every label, and that of Mapping raises and catches
        return name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def _entries(self) -> Mapping[str, str]:
        if self._path != sys.path:  # a folder that was added since may hold plug-ins
            self._known = self._read()
            self._path = list(sys.path)
        return self._known

    def _read(self) -> Mapping[str, str]:
        entries, owners = dict(self.builtin), dict.fromkeys(self.builtin, "labelgen")
        for point in sorted(entry_points(group=self.group), key=lambda p: p.name):
            owner = point.dist.name if point.dist else "a plug-in"
            if point.name in owners:
                raise UsageError(
                    f"{owner} registers {point.name!r}, a name that {owners[point.name]} has",
                    f"entry point {point.name} = {point.value} of the group {self.group}",
                    f"rename that entry point, or uninstall {owner}",
                )
            entries[point.name], owners[point.name] = point.value, owner
        return entries


def resolve(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """The object, or module, of a name.

    Raises UsageError for an unknown name, with the nearest known one, and for a plug-in that cannot be imported."""
    # Detectors are resolved for every dialogue, so one that is known costs one look-up.
    value = registry.get(name) or _unknown(name, registry, kind)
    module, _, attribute = value.partition(":")
    try:
        loaded = sys.modules.get(module) or import_module(module)
        return getattr(loaded, attribute) if attribute else loaded
    except (ImportError, AttributeError) as error:
        if not isinstance(registry, Registry) or name in registry.builtin:
            raise
        where = f"entry point {name} = {value} of the group {registry.group}"
        raise UsageError(f"the {kind} {name!r} cannot be imported: {error}", where, "reinstall its package") from error


def require(name: str, known: Iterable[str], kind: str) -> None:
    """Raises UsageError, with the nearest known name, unless `name` is known."""
    names = known if isinstance(known, Mapping) else list(known)
    if name not in names:
        _unknown(name, names, kind)


def _unknown(name: str, known: Iterable[str], kind: str) -> NoReturn:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"unknown {kind} {name!r}", f"{kind}={name}", f"{hint}known: {', '.join(names)}")
