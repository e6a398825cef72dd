"""Every error that labelgen raises on purpose.

    LabelgenError            1   unexpected, the base of the family
    ├── UsageError           2   a command, option or config that cannot be carried out
    ├── InputError           3   data that cannot be used, or too much bad input
    ├── IntegrityError       4   a model folder or an output folder that is not what it says it is
    ├── StorageError         5   reading or writing failed
    ├── ResourceError        6   memory ran out, or a worker process was killed
    └── DivergedError        7   a training whose loss or weights are no finite numbers any more

The number is the exit code of the command that raised it. A command that SIGTERM ends has 143 (base/terminated.py).
"""

import errno
from typing import ClassVar

from labelgen.base.printable import printable


class LabelgenError(Exception):
    """Says what happened, where, and how to fix it; printed as three lines."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        lines = [printable(self.what)]
        if self.where:
            lines.append(f"  where: {printable(self.where)}")
        if self.hint:
            lines.append(f"  hint:  {printable(self.hint)}")
        return "\n".join(lines)


class UsageError(LabelgenError):
    exit_code = 2


class InputError(LabelgenError):
    exit_code = 3


class IntegrityError(LabelgenError):
    exit_code = 4


class StorageError(LabelgenError):
    exit_code = 5


class ResourceError(LabelgenError):
    exit_code = 6


class DivergedError(LabelgenError):
    exit_code = 7


_SIGNS = (
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "ALLOC_FAILED",
)
"""What torch's allocators say, each in its own way; those of a CPU raise a plain RuntimeError."""

_KILLED = "killed by signal: Killed"
"""What torch says of a process that prepares batches and was killed by the system."""


def lacking(error: BaseException | None) -> ResourceError | None:
    """The error as what it is where memory ran out, or where the system killed a worker; None for any other."""
    said = str(error)
    if isinstance(error, RuntimeError) and _KILLED in said:
        what = "a worker process was killed"
    elif (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(sign in said for sign in _SIGNS))
    ):
        what = "memory ran out"
    else:
        return None
    return ResourceError(
        what,
        said.partition("\n")[0],
        "take fewer --workers or a smaller --shard-dialogues to label, a smaller batch.turns to train; the same command goes on where it can",
    )
