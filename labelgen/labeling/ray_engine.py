"""The engine on Ray: the same function as everywhere, in the processes of a cluster, or of one that is started for this
run on this machine."""

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

_AGAIN = 2
"""How often a worker that died is started anew, and the shard it held done again, before the run ends."""


class Worker:
    """An actor. The annotator is made with the first call, so that what goes wrong there is told as that call's error."""

    def __init__(self, load: Load) -> None:
        self._annotator = cache(load)

    def provenance(self) -> Provenance:
        return self._annotator().provenance

    def refuses(self, source: str | None) -> UsageError | None:
        return self._annotator().refuses(source)

    def label(self, shard: Shard) -> ShardEntry:
        return label_shard(shard, self._annotator())


class OnRay:
    """Actors with an annotator each. ray: the module."""

    def __init__(self, ray: Any, workers: list[Any]) -> None:
        self._ray = ray
        self._workers = workers

    def provenance(self) -> Provenance:
        found: list[Provenance] = self._told([worker.provenance.remote() for worker in self._workers])
        kinds = sorted({" ".join(filter(None, (str(one.processor), one.isa))) for one in found})
        if len(kinds) > 1:
            raise UsageError(
                f"the workers' processors are of {len(kinds)} kinds: {', '.join(kinds)}",
                "--engine ray",
                "label on nodes of one kind: labels of different kinds may differ in their last bits",
            )
        return found[0]

    def refuses(self, source: str | None) -> UsageError | None:
        found: UsageError | None = self._told(self._workers[0].refuses.remote(source))
        return found

    def label(self, shards: Iterable[Shard]) -> Generator[ShardEntry, None, None]:
        waiting = iter(shards)
        # Two shards for each worker: none waits for us, and the cutting of files stays just ahead.
        free = deque([*self._workers, *self._workers])
        at_work: dict[Any, Any] = {}
        while True:
            while free and (shard := next(waiting, None)) is not None:
                worker = free.popleft()
                at_work[worker.label.remote(shard)] = worker
            if not at_work:
                return
            (done,), _ = self._ray.wait(list(at_work))
            free.append(at_work.pop(done))
            yield self._told(done)

    def _told(self, reference: Any) -> Any:
        """The result, of a list all of them; what a worker raised is raised here as if it had been at work here."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ResourceError(
                f"a worker of Ray was lost, {_AGAIN + 1} times: {lines[0]} {lines[-1] if lines[1:] else ''}".rstrip(),
                "labeling",
                "see that labelgen is installed on every node and memory suffices; the same command goes on",
            ) from error


@contextmanager
def on_ray(load: Load, workers: int | None = None, address: str | None = None, gpus: int = 0) -> Iterator[Engine]:
    """An engine of so many Ray actors of one CPU, and `gpus`, each.

    address: of a running cluster; None starts one on this machine, which ends with this process, however that ends.
    workers: None takes as many as there are CPUs. Nodes of a cluster must see input, output and model under the same
    paths. Raises UsageError where Ray is not installed, the cluster is not reached or has fewer CPUs."""
    with _cluster(address, workers) as (ray, cpus):
        count = cpus if workers is None else workers
        if not 1 <= count <= cpus:
            raise UsageError(
                f"the cluster has {cpus} CPUs, a worker takes one", f"--workers {count}", "ask for fewer workers"
            )
        actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=_AGAIN, max_task_retries=_AGAIN)(Worker)
        yield OnRay(ray, [actor.remote(load) for _ in range(count)])


def cpus_of(address: str) -> int:
    """CPUs of a running cluster. Raises UsageError as on_ray does."""
    with _cluster(address, None) as (_, cpus):
        return cpus


@contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[tuple[Any, int]]:
    """Ray, connected, and how many CPUs there are; without an address a cluster of so many of its own."""
    ray = _ray()
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray raises no narrower one where a node does not come up in time
        raise UsageError(
            f"Ray does not answer: {error}",
            f"--engine ray, --address {address or 'local'}",
            "see `ray status` on the cluster",
        ) from error
    try:
        yield ray, int(ray.cluster_resources().get("CPU", 0))
    finally:
        ray.shutdown()


def _ray() -> Any:
    # Nothing leaves the machine unasked; and a worker without a GPU may keep what the variables of CUDA say.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "Ray is not installed", "--engine ray", "pip install -e '.[ray]' -c constraints.txt"
        ) from error
    return ray
