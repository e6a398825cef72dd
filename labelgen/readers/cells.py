"""Cells of tables and values of JSON: texts, numbers and times, and why one cannot be used."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

import msgspec

from labelgen.data.record import Rejected

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

MISSING: Any = object()
"""Stands for a cell that a row does not have."""

EPOCH_S = 1e8
"""Seconds since 1970, in 1973; smaller numbers are times since the start of a dialogue."""

_FORMAT = "state time_format, such as '%d.%m.%Y %H:%M:%S'; it may be repeated"
_UNDECODED = re.compile("[\udc80-\udcff]")
"""How such bytes come in, by the error handler "surrogateescape"."""
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")


class CellError(ValueError):
    """A cell or value that cannot be used. column: its column or path."""

    def __init__(self, column: str, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.column = column
        self.hint = hint

    def rejected(
        self, file: str, line: int | None = None, dialogue: str | None = None, raw: str | None = None
    ) -> Rejected:
        """The record that it is in, as a rejected one."""
        field, reason = self.column or None, str(self)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=raw, hint=self.hint)


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: null, an empty text, NaN, or a cell that the row does not have."""
    return value is None or value is MISSING or value == "" or (isinstance(value, float) and math.isnan(value))


def undecoded(text: str) -> bool:
    """Whether a text has bytes that are not of the encoding by which it was read."""
    return _UNDECODED.search(text) is not None


def cell_text(value: Any) -> str | None:
    """A cell as text; None where it is empty."""
    if is_empty(value):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int | float) else msgspec.json.encode(value).decode().strip('"')


def cell_number(column: str, value: Any, decimal: str = ".") -> float:
    """A cell as a number, without a percent sign behind it. Raises CellError for another value."""
    text = str(value).strip().removesuffix("%").rstrip()
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(text if decimal == "." else text.replace(".", "").replace(",", "."))
    except ValueError as error:
        hint = "give decimal ','" if decimal == "." and _DECIMAL_COMMA.fullmatch(text) else None
        raise CellError(column, f"bad_number: {text[:40]!r}", hint) from error


_WHOLE = re.compile(r"-?\d+\.0")
_NO_ID = frozenset(("", "none", "null", "nan", "nat", "<na>", "n/a", "na", "undefined", "-"))
_NOBODY = frozenset(("anonymous", "[deleted]", "deleted", "unknown", "guest"))


def cell_id(value: Any, of_user: bool = False) -> str | None:
    """A cell as an id; None where it is empty, or a word for a missing value, such as `nan`, and of a user such as `anonymous`."""
    text = cell_text(value)
    if text is not None and _WHOLE.fullmatch(text):
        # pandas makes floats of whole numbers where some are missing.
        text = text.partition(".")[0]
    word = (text or "").casefold()
    return None if word in _NO_ID or (of_user and word in _NOBODY) else text


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in seconds. kind: `epoch` since 1970, `local` in an unknown zone, `relative` to some start. repeated_s: seconds to add if
    it is of an hour that occurred twice, and of the second time."""

    seconds: float
    kind: str
    repeated_s: float = 0.0

    def iso(self) -> str | None:
        """ISO 8601; None for a relative time, and for one out of the years of the calendar."""
        if self.kind == "relative":
            return None
        try:
            text = datetime.fromtimestamp(self.seconds, tz=UTC).isoformat()
        except (OverflowError, OSError, ValueError):
            return None
        return text.replace("+00:00", "Z") if self.kind == "epoch" else text.removesuffix("+00:00")


@dataclass(frozen=True, slots=True)
class Clock:
    """Reads the times of tables, chats and traces.

    unit: of numbers; `auto` recognizes seconds to nanoseconds since 1970 by their size. formats: of texts that are not ISO
    8601, as strptime has them. zone: of dates that name none. decimal: sign of numbers in texts."""

    unit: TimeUnit = "auto"
    formats: tuple[str, ...] = ()
    zone: tzinfo | None = None
    decimal: str = "."

    def read(self, column: str, value: Any) -> Moment | None:
        """A value as a time; None for a placeholder: the years 1, 1900 and 9999, or midnight of 1970. Raises CellError for another
        value."""
        if isinstance(value, datetime):
            return self._of_date(value)
        text = str(value).strip()
        for form in self.formats if isinstance(value, str) else ():
            try:
                return self._of_date(datetime.strptime(text, form))
            except ValueError:
                continue
        try:
            number = cell_number(column, value, self.decimal)
        except CellError:
            number = None
        if number is not None:
            return self._of_number(column, number)
        try:
            return self._of_date(datetime.fromisoformat(text))
        except (ValueError, OverflowError) as error:
            forms = f", nor of the form {' or '.join(self.formats)}" if self.formats else ""
            raise CellError(
                column, f"bad_time: {text[:40]!r} is neither seconds nor ISO 8601{forms}", _FORMAT
            ) from error

    def _of_number(self, column: str, value: float) -> Moment:
        size = abs(value)
        unit = self.unit
        if unit == "auto":
            unit = "ns" if size >= 1e17 else "us" if size >= 1e14 else "ms" if size >= 1e11 else "s"
        seconds = value / {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
        moment = Moment(seconds, "epoch" if abs(seconds) >= EPOCH_S else "relative")
        if not math.isfinite(seconds) or (moment.kind == "epoch" and moment.iso() is None):
            raise CellError(
                column, f"bad_time: {value} {unit} since 1970 is no date", "state time_unit, or name a column of times"
            )
        return moment

    def _of_date(self, date: datetime) -> Moment | None:
        if date.year in _NO_YEARS:
            return None
        kind = "local" if date.tzinfo is None and self.zone is None else "epoch"
        if date.tzinfo is not None:
            return Moment(date.timestamp(), kind) if date.timestamp() else None
        # Only differences count; without a zone, one that has no summer time keeps them right.
        placed = date.replace(tzinfo=self.zone or UTC)
        seconds = placed.timestamp()
        if self.zone is None:
            repeated_s = _HOUR_S if date.weekday() == _SUNDAY and date.hour < _LAST_HOUR else 0.0
        else:
            repeated_s = max(0.0, placed.replace(fold=1).timestamp() - seconds)
        return Moment(seconds, kind, repeated_s) if seconds else None


_NO_YEARS = (1, 1900, 9999)
"""Of dates that databases and programs write where they have none."""
_HOUR_S = 3600.0
_SUNDAY = 6
_LAST_HOUR = 3
"""Summer time ends in the night to a Sunday, before three."""

UTC_CLOCK = Clock(zone=UTC)
"""Of traces: their dates are in UTC where they name no zone."""


def seconds_since_1970(value: Any) -> float | None:
    """Seconds since 1970 of a time of a trace; None for a placeholder or what is no time."""
    try:
        moment = None if is_empty(value) else UTC_CLOCK.read("", value)
    except CellError:
        return None
    return moment.seconds if moment else None
