"""This process: SIGTERM as an exception, so that an interrupted command reports what it finished; and freed memory."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


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


def release_memory() -> None:
    """Return freed pages to the operating system (malloc_trim); does nothing where the C library is not glibc.

    glibc keeps free blocks that lie between used ones. A process that runs for hours would grow although it needs no
    more memory than at first."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
