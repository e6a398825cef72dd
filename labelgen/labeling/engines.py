"""Who does the work: an engine carries shards to label_shard, wherever that runs, and brings their entries back."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from labelgen.base.environment import instruction_set_environment
from labelgen.base.errors import ResourceError, UsageError
from labelgen.base.process import defer_sigterm
from labelgen.data.labels import Provenance
from labelgen.labeling.manifest import ShardEntry
from labelgen.labeling.shard import Annotates, Shard, label_shard

Out = TypeVar("Out")

Load = Callable[[], Annotates]
"""Makes the annotator where it is needed; it travels to other processes, so it must pickle. It also limits the process
to one thread: what is added up in another order is another number."""


class Engine(Protocol):
    """provenance: of the annotator, as the workers see it. refuses: as the annotator does. label: entries of all shards, in any order; shards are
    taken as they are needed, in the caller's thread. Raises ResourceError if a worker is killed."""

    def provenance(self) -> Provenance: ...

    def refuses(self, source: str | None) -> UsageError | None: ...

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]: ...


class Inline:
    """All work in this process."""

    def __init__(self, load: Load) -> None:
        self._annotator = cache(load)

    def provenance(self) -> Provenance:
        return self._annotator().provenance

    def refuses(self, source: str | None) -> UsageError | None:
        return self._annotator().refuses(source)

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]:
        for shard in shards:
            yield label_shard(shard, self._annotator())


class Local:
    """Worker processes on this machine, each with an annotator of its own."""

    def __init__(self, pool: ProcessPoolExecutor, workers: int) -> None:
        self._pool = pool
        self._workers = workers

    def provenance(self) -> Provenance:
        with _told():
            found, environment = self._submit(_provenance).result()
        # The other workers start after this one, and compute at its instruction set.
        os.environ.update(environment)
        return found

    def refuses(self, source: str | None) -> UsageError | None:
        with _told():
            return self._submit(_refuses, source).result()

    def _submit(self, work: Callable[..., Out], *words: Any) -> Future[Out]:
        """It may start a worker, which would complain of a parent that goes away meanwhile."""
        with defer_sigterm():
            return self._pool.submit(work, *words)

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]:
        waiting = iter(shards)
        at_work: set[Future[ShardEntry]] = set()
        while True:
            # Two for each worker: none waits for us, and the cutting of files stays just ahead.
            for shard in islice(waiting, 2 * self._workers - len(at_work)):
                with _told():
                    at_work.add(self._submit(_label, shard))
            if not at_work:
                return
            done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
            for future in done:
                with _told():
                    entry = future.result()
                yield entry


@contextmanager
def local(load: Load, workers: int) -> Iterator[Engine]:
    """An engine of so many processes of this machine; one works in this process.

    They are started anew and never forked, so that nothing of this process leaks into the labels. All of them hold one
    end of a pipe whose other end is here alone: when it closes, be it because this process was killed, they stop at
    once. On a good end they are let finish."""
    if workers == 1:
        yield Inline(load)
        return
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(load, theirs))
    try:
        yield Local(pool, workers)
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()


@contextmanager
def _told() -> Iterator[None]:
    """Tells of a killed worker; the pool does so at the next shard handed in or at the next result, whichever is first."""
    try:
        yield
    except BrokenProcessPool as error:
        raise ResourceError(
            "a worker process was killed",
            "labeling",
            "see whether memory ran out; run the same command again, with fewer --workers: it goes on where it stopped",
        ) from error


_load: Load | None = None


def _start(load: Load, alive: Connection) -> None:
    global _load
    _load = load
    # The parent answers the keyboard; workers would only add their tracebacks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive: Connection) -> None:
    alive.poll(None)
    os._exit(1)


@cache
def _annotator() -> Annotates:
    assert _load is not None
    return _load()


def _provenance() -> tuple[Provenance, dict[str, str]]:
    """Of the annotator, and what other workers need of this one's environment."""
    return _annotator().provenance, instruction_set_environment()


def _refuses(source: str | None) -> UsageError | None:
    return _annotator().refuses(source)


def _label(shard: Shard) -> ShardEntry:
    return label_shard(shard, _annotator())
