"""Values of a config as their options' types, with words for people where they are of another. Imports no torch."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from labelgen.base.errors import UsageError

_WORDS = {
    int: ("a whole number", "give one such as 3"),
    float: ("a number", "give one such as 0.5"),
    bool: ("true or false", "give one of the two"),
    str: ("text", "where it looks like something else, put it in quotes twice: '\"3\"'"),
}


def typed(value: Any, hint: Any, key: str, where: str) -> Any:
    """The value as the option `key` wants it, whose type is `hint`: a section or table is gone through, and where a list is
    asked for, one value stands for a list of one. Raises UsageError for a value of another type."""
    held = get_args(hint)
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return {name: typed(v, hints[name], f"{key}.{name}" if key else name, where) for name, v in value.items()}
    if get_origin(hint) is Mapping:
        return {name: typed(v, held[1], f"{key}.{name}", where) for name, v in value.items()}
    if get_origin(hint) is tuple:
        return [typed(v, held[0], key, where) for v in (value if isinstance(value, list) else [value])]
    if get_origin(hint) is Literal:
        # YAML reads the precision 32 as a number.
        if str(value) not in held:
            raise _other(key, value, f"one of {', '.join(held)}", where, "give one of these")
        return str(value)
    if NoneType in held:
        (kind,) = (one for one in held if one is not NoneType)
        return None if value is None else _plain(value, kind, key, where, " or null")
    return _plain(value, hint, key, where)


def _plain(value: Any, kind: type, key: str, where: str, besides: str = "") -> Any:
    # YAML reads 1e-3, which has no point, as text.
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is kind:
        return value
    word, hint = _WORDS[kind]
    raise _other(key, value, word + besides, where, hint)


def _other(key: str, value: Any, word: str, where: str, hint: str) -> UsageError:
    said = "null" if value is None else repr(value)
    return UsageError(f"{key} is {said}, which is not {word}", where, hint)
