"""Trainings in processes of their own, which are killed ahead of a change to the disk, or at any time."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

CHANGES = ("replace", "rename", "fsync", "unlink", "mkdir")
"""What reaches the disk goes through these."""


@contextmanager
def processes() -> Iterator[Callable[..., int]]:
    """Gives what does work in a process of its own and gives its exit code, or minus the signal that killed it.

    These are forked from a process that has loaded what takes long, and in which nothing was trained yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["labelgen.training.checkpoints", "labelgen.training.run", "labelgen.cli.main"])
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,))
    server.start()
    theirs.close()

    def run(work: Callable[..., None], *words: Any) -> int:
        ours.send((work, words))
        return int(ours.recv())

    try:
        yield run
    finally:
        ours.close()
        server.join()


def _serve(asked: Connection) -> None:
    import_module("transformers.models.roberta.modeling_roberta")
    while True:
        try:
            work, words = asked.recv()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _do(work, words)
        asked.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _do(work: Callable[..., None], words: Sequence[Any]) -> None:
    code = 99
    try:
        work(*words)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def kill_from_now_on(change: int) -> None:
    """This process dies ahead of its change to the disk of that number, counted from 0."""
    _count([change])


def _count(left: list[int]) -> None:
    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*words: Any, **more: Any) -> Any:
            if left:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **more)

        return changed

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def kill_within(seconds: float) -> None:
    """After this time the group of this process, which it now leads, is killed, wherever it is then."""
    os.setpgid(0, 0)
    here = os.getpid()
    if os.fork() == 0:
        os.setpgid(0, 0)
        time.sleep(seconds)
        if os.getppid() == here:
            os.killpg(here, signal.SIGKILL)
        os._exit(0)
