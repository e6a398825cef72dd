"""Every error that labelgen raises on purpose, and the translation of other errors into these.

    LabelgenError            1   unexpected; the base class
    ├── UsageError           2   a command, option or config that cannot be carried out
    ├── InputError           3   data that cannot be used, or too much bad input
    ├── IntegrityError       4   a model folder or an output folder is damaged
    ├── StorageError         5   reading or writing failed
    ├── ResourceError        6   memory ran out, or a worker process was killed
    └── DivergedError        7   the loss or the weights of a training are not finite

The number is the exit code of the command that raised it. A command that SIGTERM ends returns 143 (base/process.py).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from labelgen.base.terminal import printable


class LabelgenError(Exception):
    """What happened, where, and a hint; printed as three lines."""

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


_OUT_OF_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "ALLOC_FAILED",
)
"""Words of torch's allocators; those for a CPU raise a plain RuntimeError."""

_WORKER_KILLED = "killed by signal: Killed"
"""Words of torch for a data loader process that the system killed."""


def resource_error(error: BaseException | None) -> ResourceError | None:
    """A ResourceError where memory ran out or the system killed a worker; None for any other error."""
    message = str(error)
    if isinstance(error, RuntimeError) and _WORKER_KILLED in message:
        what = "a worker process was killed"
    elif (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(words in message for words in _OUT_OF_MEMORY))
    ):
        what = "memory ran out"
    else:
        return None
    return ResourceError(
        what,
        message.partition("\n")[0],
        "take fewer --workers or a smaller --shard-dialogues to label, a smaller batch.turns to train; the same command goes on where it can",
    )


MODEL_HINT = "copy or train the model again"


@contextmanager
def integrity_errors(what: str, where: Path, hint: str = MODEL_HINT) -> Iterator[None]:
    """Turn whatever fails in the block into an IntegrityError with the first line of its reason.

    For untrusted files that go to libraries which were not made for them. Errors of labelgen, a lack of memory and an
    interruption pass unchanged."""
    try:
        yield
    except (LabelgenError, MemoryError):
        raise
    except BaseException as error:
        # Tokenizers are written in Rust, whose panics are no Exceptions.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise IntegrityError(f"{what}: {first_line(error)}", str(where), hint) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, else the name of its class."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
