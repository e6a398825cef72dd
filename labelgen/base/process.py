"""The process: the command that runs, SIGTERM as an exception, return of freed memory, and the end of child processes.

With SIGTERM as an exception an interrupted command reports what it finished."""

import ctypes
import os
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType

FIRST_PROCESS = "LABELGEN_FIRST_PROCESS"
"""Environment variable with the id of the process that starts the others of a training."""
_PR_SET_PDEATHSIG = 1
"""Linux: the signal that a process gets when its parent ends."""


_command: ContextVar[str] = ContextVar("command", default="")


@contextmanager
def running(words: Sequence[str]) -> Iterator[None]:
    """Within the block `command_line` is this command of labelgen."""
    token = _command.set(shlex.join(["labelgen", *words]))
    try:
        yield
    finally:
        _command.reset(token)


def command_line() -> str:
    """The command that runs, as it was given; empty for functions called from Python."""
    return _command.get()


class Terminated(BaseException):
    """SIGTERM was received. It is no Exception, as KeyboardInterrupt is none, so that no error handler catches it.

    done: one clause on what was finished, and whether the same command resumes."""

    exit_code = 128 + signal.SIGTERM

    def __init__(self, done: str = "the same command goes on where it can") -> None:
        self.done = done
        super().__init__(done)

    def __str__(self) -> str:
        return f"stopped by SIGTERM; {self.done}"


@dataclass(slots=True)
class _Deferral:
    """active: whether SIGTERM has to wait. pending: whether one arrived meanwhile."""

    active: bool = False
    pending: bool = False


_deferral = _Deferral()


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """Raise Terminated in the main thread at the first SIGTERM within the block; ignore later ones. No effect in other threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _deferral.pending = False
    before = signal.signal(signal.SIGTERM, _handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def defer_sigterm() -> Iterator[None]:
    """Hold Terminated back until the block ends, so that no process is left half started."""
    _deferral.active = True
    try:
        yield
    finally:
        _deferral.active = False
    if _deferral.pending:
        _deferral.pending = False
        raise Terminated


def _handle(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not _deferral.active:
        raise Terminated
    _deferral.pending = True


@contextmanager
def first_process() -> Iterator[None]:
    """Let processes that are started within the block end with this one (end_with_first_process)."""
    before = os.environ.get(FIRST_PROCESS)
    os.environ.setdefault(FIRST_PROCESS, str(os.getpid()))
    try:
        yield
    finally:
        if before is None:
            del os.environ[FIRST_PROCESS]


def end_with_first_process() -> None:
    """Kill this process as soon as the one that started it ends, even by a kill. No effect in a process that nobody started within
    `first_process`.

    A process that waits for the others of its group to come would not notice that the first one has gone."""
    first = int(os.environ.get(FIRST_PROCESS, os.getpid()))
    if first == os.getpid():
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != first:
        os.kill(os.getpid(), signal.SIGKILL)


def release_memory() -> None:
    """Return freed pages to the operating system (malloc_trim); does nothing where the C library is not glibc.

    glibc keeps free blocks that lie between used ones. A process that runs for hours would grow although it needs no
    more memory than at first."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
