"""SIGTERM as an exception, so that a command that is asked to end says what became of its work."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Terminated(BaseException):
    """SIGTERM came. Like KeyboardInterrupt it is no Exception, so that no handler of errors takes it for one.

    done: what stands, and whether the same command resumes; one clause."""

    exit_code = 128 + signal.SIGTERM

    def __init__(self, done: str = "the same command goes on where it can") -> None:
        self.done = done
        super().__init__(done)

    def __str__(self) -> str:
        return f"stopped by SIGTERM; {self.done}"


@dataclass(slots=True)
class _Wait:
    """holding: whether Terminated has to wait. came: whether it does."""

    holding: bool = False
    came: bool = False


_wait = _Wait()


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Within, the first SIGTERM raises Terminated in the main thread, and later ones are ignored; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _wait.came = False
    before = signal.signal(signal.SIGTERM, _answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def sigterm_waits() -> Iterator[None]:
    """Within, Terminated waits until the block is left: what is half done, such as a process half started, would be left behind."""
    _wait.holding = True
    try:
        yield
    finally:
        _wait.holding = False
    if _wait.came:
        _wait.came = False
        raise Terminated


def _answer(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not _wait.holding:
        raise Terminated
    _wait.came = True
