"""Engine on Ray: runs label_shard in the processes of a cluster, or of a local one that is started for this run."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from labelgen.base.errors import ResourceError, UsageError
from labelgen.data.labels import Provenance
from labelgen.labeling.engines import Engine, Load
from labelgen.labeling.manifest import ShardEntry
from labelgen.labeling.shard import Shard, label_shard

_RETRIES = 2
"""Number of restarts of a dead worker, and of repetitions of its shard, before the run ends."""


class RayWorker:
    """Ray actor. The first call loads the annotator, so that a loading error is reported as the error of that call."""

    def __init__(self, load: Load) -> None:
        self._annotator = cache(load)

    def provenance(self) -> Provenance:
        return self._annotator().provenance

    def refuses(self, source: str | None) -> UsageError | None:
        return self._annotator().refuses(source)

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
