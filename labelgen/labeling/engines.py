"""Engines: run label_shard on shards, in this process or in worker processes of this machine.

Engine on Ray: runs label_shard in the processes of a cluster, or of a local one that is started for this run.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import cycle, islice
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from typing import Any, Protocol, TypeVar

from labelgen.base.errors import ResourceError, UsageError
from labelgen.base.process import defer_sigterm
from labelgen.data.labels import Provenance
from labelgen.labeling.manifest import ShardEntry
from labelgen.labeling.shard import DialogueAnnotator, Shard, label_shard

Out = TypeVar("Out")

_VISIBLE = "CUDA_VISIBLE_DEVICES"

Load = Callable[[], DialogueAnnotator]
"""Loads the annotator in the process that needs it, so it must be picklable. It also limits that process to one thread, because
another order of summation gives other numbers."""


class Engine(Protocol):
    """provenance: of the annotator, as the workers see it. refuses: as the annotator's. label: entries of all shards, in any order; takes
    shards lazily, in the caller's thread. Raises ResourceError if a worker is killed."""

    def provenance(self) -> Provenance: ...

    def refuses(self, source: str | None) -> UsageError | None: ...

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]: ...


class _Loaded:
    """An annotator of this process, which the first call loads, so that a loading error is reported as the error of that call."""

    def __init__(self, load: Load) -> None:
        self._annotator = cache(load)

    def provenance(self) -> Provenance:
        return self._annotator().provenance

    def refuses(self, source: str | None) -> UsageError | None:
        return self._annotator().refuses(source)


class InlineEngine(_Loaded):
    """Engine without workers: all work in this process."""

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]:
        for shard in shards:
            yield label_shard(shard, self._annotator())


class ProcessEngine:
    """Engine with worker processes on this machine, each with its own annotator."""

    def __init__(self, pool: ProcessPoolExecutor, workers: int) -> None:
        self._pool = pool
        self._workers = workers

    def provenance(self) -> Provenance:
        with _worker_errors():
            return self._submit(_provenance).result()

    def refuses(self, source: str | None) -> UsageError | None:
        with _worker_errors():
            return self._submit(_refuses, source).result()

    def _submit(self, work: Callable[..., Out], *arguments: Any) -> Future[Out]:
        """Submitting may start a worker, which would complain if this process ended meanwhile; so SIGTERM waits."""
        with defer_sigterm():
            try:
                return self._pool.submit(work, *arguments)
            except OSError as error:
                # A worker died while the pool started another one with pipes that it had closed by then.
                raise BrokenProcessPool("no worker could be started") from error

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]:
        waiting = iter(shards)
        running: set[Future[ShardEntry]] = set()
        while True:
            # Two shards for each worker: no worker waits, and files are split only a little ahead.
            for shard in islice(waiting, 2 * self._workers - len(running)):
                with _worker_errors():
                    running.add(self._submit(_label, shard))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                with _worker_errors():
                    entry = future.result()
                yield entry


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them.

    Raises UsageError for GPUs of several kinds, whose labels may differ in their last bits."""
    import torch

    count = torch.cuda.device_count()
    if len(kinds := sorted({torch.cuda.get_device_name(index) for index in range(count)})) > 1:
        what = f"the GPUs are of {len(kinds)} kinds: {', '.join(kinds)}"
        raise UsageError(what, "--device cuda", "name one by --device cuda:N, or some by CUDA_VISIBLE_DEVICES")
    names = os.environ.get(_VISIBLE, "").split(",")
    return names[:count] if names != [""] else [str(index) for index in range(count)]


@contextmanager
def local_engine(load: Load, workers: int, gpus: Sequence[str] = ()) -> Iterator[Engine]:
    """Engine with so many processes on this machine; one worker means this process. gpus: each worker sees one of them, in turn.

    Workers are spawned, never forked, so that no state of this process affects the labels. All workers hold one end of a pipe
    whose other end only this process has. When it closes, even because this process was killed, they stop at once. Without an
    error they finish their work."""
    if workers == 1:
        yield InlineEngine(load)
        return
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    turns = context.SimpleQueue()
    for _, gpu in zip(range(workers), cycle(gpus), strict=False):
        turns.put(gpu)
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(load, theirs, turns if gpus else None))
    try:
        yield ProcessEngine(pool, workers)
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()


@contextmanager
def _worker_errors() -> Iterator[None]:
    """Report a killed worker; the pool raises this at the next submission or result."""
    try:
        yield
    except BrokenProcessPool as error:
        raise ResourceError(
            "a worker process was killed",
            "labeling",
            "check whether memory ran out; run the same command again, with fewer --workers, to resume",
        ) from error


_load: Load | None = None


def _start(load: Load, alive: Connection, gpus: "SimpleQueue[str] | None") -> None:
    global _load
    if gpus is not None:
        # CUDA reads it when it is first used, so `cuda` is this GPU in this process.
        os.environ[_VISIBLE] = gpus.get()
    _load = load
    # The parent handles Ctrl-C; workers would only add their tracebacks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(alive,), daemon=True).start()


def _exit_with_parent(alive: Connection) -> None:
    alive.poll(None)
    os._exit(1)


@cache
def _annotator() -> DialogueAnnotator:
    assert _load is not None
    return _load()


def _provenance() -> Provenance:
    return _annotator().provenance


def _refuses(source: str | None) -> UsageError | None:
    return _annotator().refuses(source)


def _label(shard: Shard) -> ShardEntry:
    return label_shard(shard, _annotator())


_RETRIES = 2
"""Number of restarts of a dead worker, and of repetitions of its shard, before the run ends."""


class RayWorker(_Loaded):
    """Ray actor."""

    def label(self, shard: Shard) -> ShardEntry:
        return label_shard(shard, self._annotator())


class RayEngine:
    """Engine with Ray actors, each with its own annotator. ray: the module."""

    def __init__(self, ray: Any, workers: list[Any]) -> None:
        self._ray = ray
        self._workers = workers

    def provenance(self) -> Provenance:
        provenances: list[Provenance] = self._get([worker.provenance.remote() for worker in self._workers])
        kinds = sorted({str(one.processor) for one in provenances})
        if len(kinds) > 1:
            raise UsageError(
                f"the workers' processors are of {len(kinds)} kinds: {', '.join(kinds)}",
                "--engine ray",
                "label on nodes of one kind: labels of different kinds may differ in their last bits",
            )
        return provenances[0]

    def refuses(self, source: str | None) -> UsageError | None:
        error: UsageError | None = self._get(self._workers[0].refuses.remote(source))
        return error

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]:
        waiting = iter(shards)
        # Two shards for each worker: no worker waits, and files are split only a little ahead.
        free = deque([*self._workers, *self._workers])
        running: dict[Any, Any] = {}
        while True:
            while free and (shard := next(waiting, None)) is not None:
                worker = free.popleft()
                running[worker.label.remote(shard)] = worker
            if not running:
                return
            (done,), _ = self._ray.wait(list(running))
            free.append(running.pop(done))
            yield self._get(done)

    def _get(self, reference: Any) -> Any:
        """Result of one reference or of a list; an error of a worker is raised here unchanged."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ResourceError(
                f"a worker of Ray was lost, {_RETRIES + 1} times: {lines[0]} {lines[-1] if lines[1:] else ''}".rstrip(),
                "labeling",
                "check that labelgen is installed on every node and memory suffices; the same command resumes",
            ) from error


@contextmanager
def ray_engine(load: Load, workers: int | None = None, address: str | None = None, gpus: int = 0) -> Iterator[Engine]:
    """Engine with so many Ray actors, each with one CPU and `gpus`.

    address: of a running cluster; None starts one on this machine, which ends with this process in any case.
    workers: None for as many as there are CPUs, or GPUs. Nodes of a cluster must see input, output and model under the same
    paths. Raises UsageError if Ray is not installed, or the cluster is unreachable or has fewer CPUs."""
    with _cluster(address, workers) as (ray, cpus):
        places, kind = (int(ray.cluster_resources().get("GPU", 0)), "GPUs") if gpus else (cpus, "CPUs")
        count = min(places, cpus) if workers is None else workers
        if not 1 <= count <= min(places, cpus):
            hint = "ask for fewer workers, or for --device cpu"
            raise UsageError(f"the cluster has {places} {kind}, a worker takes one", f"--workers {count}", hint)
        actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=_RETRIES, max_task_retries=_RETRIES)(RayWorker)
        yield RayEngine(ray, [actor.remote(load) for _ in range(count)])


@contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[tuple[Any, int]]:
    """Connect to Ray, with its number of CPUs; without an address, start a local cluster for so many workers."""
    ray = _import_ray()
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray has no narrower class for a node that does not start in time
        raise UsageError(
            f"Ray does not answer: {error}",
            f"--engine ray, --address {address or 'local'}",
            "see `ray status` on the cluster",
        ) from error
    try:
        yield ray, int(ray.cluster_resources().get("CPU", 0))
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    # No usage data leaves the machine; and a worker without a GPU keeps its CUDA variables.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "Ray is not installed", "--engine ray", "pip install -e '.[ray]' -c constraints.txt"
        ) from error
    return ray
