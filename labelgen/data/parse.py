"""JSON into typed values, where what does not fit becomes a Rejected and never an exception."""

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from labelgen.data.quarantine import Rejected

Value = TypeVar("Value")

_PATH = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(
    text: bytes, kind: type[Value], file: str, line: int | None = None, dialogue: str | None = None
) -> Value | Rejected:
    """Decode JSON text as `kind`. `dialogue` is named in what is rejected, where the text itself is not needed for it."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        reason, field = explain(error)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=shown(text))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason, field = unreadable(text, error)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=shown(text))


def explain(error: msgspec.ValidationError) -> tuple[str, str | None]:
    """Reason and field of what has the wrong type."""
    found = _PATH.match(str(error))
    return (f"bad_type: {found['reason']}", found["path"]) if found else (f"bad_type: {error}", None)


def unreadable(text: str | bytes, error: Exception) -> tuple[str, str | None]:
    """Reason and field of JSON that cannot be decoded. Texts that are JSON but for a lone surrogate or a NaN are common
    enough in logs to be told apart."""
    try:
        fault = unwritable(json.loads(text))
    except (ValueError, RecursionError):
        fault = None
    return fault or (f"bad_json: {error}", None)


def unwritable(plain: Any, at: str = "") -> tuple[str, str] | None:
    """The first thing in plain dicts and lists that has no place in a JSON file: a lone surrogate, or a number that is
    not finite; as reason and field, or None."""
    if isinstance(plain, str):
        found = _SURROGATE.search(plain)
        return (f"lone_surrogate: U+{ord(found[0]):04X} at {found.start()} is no character", at) if found else None
    if isinstance(plain, float):
        return None if math.isfinite(plain) else (f"not_finite: {plain}", at)
    if isinstance(plain, dict):
        inner = ((value, f"{at}.{key}" if at else str(key)) for key, value in plain.items())
    elif isinstance(plain, (list, tuple)):
        inner = ((value, f"{at}[{k}]") for k, value in enumerate(plain))
    else:
        return None
    return next((fault for value, field in inner if (fault := unwritable(value, field))), None)


def shown(text: bytes) -> str:
    """Bytes as text that can be written again, whatever they are."""
    return text.decode("utf-8", errors="backslashreplace")
