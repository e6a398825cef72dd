"""JSON of unknown origin: decoded under limits, and with the reason where it cannot be used.

Depth is looked at before anything is decoded, because code that walks through a record may recurse once for each level. Lone
surrogates and numbers that are not finite are refused, since no record could be written with them."""

import json
import math
import re
from itertools import accumulate
from typing import Any

import msgspec

MOST_LEVELS = 64
"""Maximum nesting of lists and objects."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPEN_AND_CLOSE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PATH = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def decoded(value: Any) -> Any:
    """The object or list that a text of JSON holds; any other value, and text that is cut, too deep or no JSON, as it is.

    Half of a surrogate pair becomes U+FFFD, and a NaN null, since no record could be written with them."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[") or too_deep(value) is not None:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError):
        try:
            return _mended(json.loads(value, parse_constant=lambda _: None))
        except ValueError:
            return value


def _mended(plain: Any) -> Any:
    if isinstance(plain, str):
        return _SURROGATE.sub("\ufffd", plain)
    if isinstance(plain, dict):
        return {_mended(key): _mended(value) for key, value in plain.items()}
    return [_mended(one) for one in plain] if isinstance(plain, list) else plain


def object_of(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def json_text(value: Any) -> str | None:
    """A value as JSON text; a text stays as it is. None for None."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def too_deep(text: str | bytes) -> str | None:
    """The reason to reject JSON that is nested deeper than MOST_LEVELS, else None. Nothing is decoded."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _may_be_deep(data):
        brackets = _STRING.sub(b"", data).translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
        if max(accumulate(1 if one == ord("[") else -1 for one in brackets), default=0) > MOST_LEVELS:
            return f"too_deep: lists and objects lie within each other on more than {MOST_LEVELS} levels"
    return None


def _may_be_deep(data: bytes) -> bool:
    """Quick test: whether brackets remain after the innermost pairs are removed MOST_LEVELS times.

    It is wrong only where strings contain brackets or brackets are missing."""
    brackets = data.translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
    if brackets.count(b"[") <= MOST_LEVELS:
        return False
    for _ in range(MOST_LEVELS):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def explain(error: msgspec.ValidationError) -> tuple[str, str | None]:
    """Reason and field of a value of the wrong type."""
    match = _PATH.match(str(error))
    return (f"bad_type: {match['reason']}", match["path"]) if match else (f"bad_type: {error}", None)


def unreadable(text: str | bytes, error: Exception) -> tuple[str, str | None]:
    """Reason and field of JSON that cannot be decoded and is not too deep.

    A lone surrogate and a NaN have reasons of their own, because they are common in logs."""
    try:
        fault = unwritable(json.loads(text))
    except ValueError:
        fault = None
    return fault or (f"bad_json: {error}", None)


def unwritable(plain: Any, at: str = "") -> tuple[str, str] | None:
    """Reason and field of the first lone surrogate or number that is not finite, or None."""
    if isinstance(plain, str):
        match = _SURROGATE.search(plain)
        return (f"lone_surrogate: U+{ord(match[0]):04X} at {match.start()} is no character", at) if match else None
    if isinstance(plain, float):
        return None if math.isfinite(plain) else (f"not_finite: {plain}", at)
    if isinstance(plain, dict):
        inner = ((value, f"{at}.{key}" if at else str(key)) for key, value in plain.items())
    elif isinstance(plain, (list, tuple)):
        inner = ((value, f"{at}[{k}]") for k, value in enumerate(plain))
    else:
        return None
    return next((fault for value, field in inner if (fault := unwritable(value, field))), None)


def readable(text: bytes) -> str:
    """Any bytes as printable text; invalid UTF-8 is escaped."""
    return text.decode("utf-8", errors="backslashreplace")
