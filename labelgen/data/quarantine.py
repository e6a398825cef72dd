"""What could not be read: kept with its reason, never dropped."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import DamagedError

_SHOWN = 10


_DAMAGE = ("bad_gzip", "bad_zstd", "bad_parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that stays out. file and line (from 1) say where it stood, field what was wrong with it; raw is the
    record as it came, so that it can be fixed and read again."""

    file: str
    reason: str
    line: int | None = None
    dialogue: str | None = None
    field: str | None = None
    raw: str | None = None

    @property
    def is_damage(self) -> bool:
        """Whether it stands for the rest of a damaged file, of which nobody knows how many records it held."""
        return self.line is None and self.reason.partition(":")[0] in _DAMAGE

    def where(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.dialogue is not None:
            parts.append(f"dialogue {self.dialogue}")
        if self.field is not None:
            parts.append(f"field {self.field}")
        return ", ".join(parts)


def behind(lines: int, error: DamagedError) -> str:
    """The reason for the rest of a packed file, of which so many lines could be read."""
    return f"{error}; {lines:,} lines could be read, all behind them is lost"


def loss(files: Sequence[str], where: str) -> InputError:
    """The error of a command that could read these files in part only. where: what it read or wrote."""
    shown = ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
    one = len(files) == 1
    return InputError(
        f"{shown} {'is' if one else 'are'} damaged: what could be read was read, and how many records are lost is not known",
        where,
        f"replace {'it by a whole copy' if one else 'them by whole copies'} and run the same command again; a bad rate of "
        "1 (--max-bad-rate, data.max_bad_rate of a training) accepts the loss",
    )


def is_quarantine(name: str) -> bool:
    """Whether a file of this name holds what was rejected, so that a folder that is read again has it for no records."""
    return name == "quarantine.jsonl" or name.endswith(".quarantine.jsonl")


def _holds_rejected(path: Path) -> bool:
    """Whether a file is empty or begins with what was rejected."""
    with path.open("rb") as file:
        first = file.readline()
    try:
        return not first or bool(msgspec.json.decode(first, type=Rejected).reason)
    except (msgspec.MsgspecError, RecursionError):
        return False


class Quarantine:
    """A file of rejected records, one JSON object a line. It is made with the first of them, and then replaces one that
    was there. reasons: how many, by the first word of their reason. Raises UsageError for a path that holds anything else, such as
    the log that is read."""

    def __init__(self, path: Path) -> None:
        if path.is_dir() or (path.is_file() and not _holds_rejected(path)):
            raise UsageError(
                f"{path} is no quarantine, and would be overwritten",
                "--quarantine",
                "name another file, such as quarantine.jsonl",
            )
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._file: IO[bytes] | None = None

    def __str__(self) -> str:
        return str(self.path)

    def add(self, item: Rejected) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what was set aside can be looked at while the rest is at work.
            self._file = self.path.open("wb", buffering=0)
        self._file.write(msgspec.json.encode(item) + b"\n")
        self.reasons[item.reason.partition(":")[0]] += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def told(reasons: Counter[str], where: object) -> str:
    """For people: `3 records were set aside (bad_json 2, bad_type 1; in bad.jsonl)`. where: the file, or how to have
    one."""
    counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    return f"{reasons.total():,} records were set aside ({counts}; {where})"
