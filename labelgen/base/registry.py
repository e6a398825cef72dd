"""Registries: plain dicts from a name to "module:object", resolved on use so that help imports nothing heavy."""

import difflib
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from labelgen.base.errors import UsageError


def resolve(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """The object that `registry` names. Raises UsageError with the known names and the nearest one."""
    require(name, registry, kind)
    module, _, attribute = registry[name].partition(":")
    # Detectors are resolved for every dialogue, and import_module is slow for what is loaded.
    return getattr(sys.modules.get(module) or import_module(module), attribute)


def require(name: str, known: Iterable[str], kind: str) -> None:
    """Raises UsageError, with the nearest known name, unless `name` is known."""
    names = list(known)
    if name in names:
        return
    names.sort()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"unknown {kind} {name!r}", f"{kind}={name}", f"{hint}known: {', '.join(names)}")
