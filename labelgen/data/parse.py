"""JSON into typed values, where what does not fit becomes a Rejected and never an exception."""

import json
import math
import re
from itertools import accumulate
from typing import Any, TypeVar

import msgspec

from labelgen.data.quarantine import Rejected

Value = TypeVar("Value")

_PATH = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


MOST_LEVELS = 64
"""How deep lists and objects may lie within each other; whatever walks through a record may then call itself for each level."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPEN_AND_CLOSE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def too_deep(text: str | bytes) -> str | None:
    """The reason to reject JSON that lies deeper than MOST_LEVELS; None for any other text. Nothing is decoded."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _may_be_deep(data):
        brackets = _STRING.sub(b"", data).translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
        if max(accumulate(1 if one == ord("[") else -1 for one in brackets), default=0) > MOST_LEVELS:
            return f"too_deep: lists and objects lie within each other on more than {MOST_LEVELS} levels"
    return None


def _may_be_deep(data: bytes) -> bool:
    """Quick, and wrong at most where strings hold brackets or brackets are missing: whether any are left once the innermost pairs
    were taken away MOST_LEVELS times."""
    brackets = data.translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
    if brackets.count(b"[") <= MOST_LEVELS:
        return False
    for _ in range(MOST_LEVELS):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def parse(
    text: bytes, kind: type[Value], file: str, line: int | None = None, dialogue: str | None = None
) -> Value | Rejected:
    """Decode JSON text as `kind`. `dialogue` is named in what is rejected, where the text itself is not needed for it."""
    if (deep := too_deep(text)) is not None:
        return Rejected(file=file, line=line, dialogue=dialogue, reason=deep, raw=shown(text))
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        reason, field = explain(error)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=shown(text))
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason, field = unreadable(text, error)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=shown(text))


def explain(error: msgspec.ValidationError) -> tuple[str, str | None]:
    """Reason and field of what has the wrong type."""
    found = _PATH.match(str(error))
    return (f"bad_type: {found['reason']}", found["path"]) if found else (f"bad_type: {error}", None)


def unreadable(text: str | bytes, error: Exception) -> tuple[str, str | None]:
    """Reason and field of JSON that cannot be decoded, and is not too deep. Texts that are JSON but for a lone surrogate or a NaN are common
    enough in logs to be told apart."""
    try:
        fault = unwritable(json.loads(text))
    except ValueError:
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
