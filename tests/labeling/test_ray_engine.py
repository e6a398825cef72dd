"""Ray does the same work to the same bytes; where it is not installed, that is said. One small cluster for all of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_annotator import DieAfter, FakeAnnotator
from some_logs import mixed_log, tree

from labelgen.base.errors import StorageError, UsageError
from labelgen.labeling.engines import InlineEngine, RayEngine, ray_engine
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """Of a cluster of two CPUs, whose processes find the tests' modules."""
    pytest.importorskip("ray")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield cluster.address
    cluster.shutdown()
    os.environ["PYTHONPATH"] = before or ""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    base = tmp_path_factory.mktemp("unbroken")
    label(mixed_log(base / "in"), base / "out", InlineEngine(FakeAnnotator), "model", {}, 2)
    return base / "in", tree(base / "out")


def test_ray_output_same_bytes(tmp_path, unbroken, address):
    source, expected = unbroken
    with ray_engine(FakeAnnotator, 2, address) as engine:
        label(source, tmp_path / "out", engine, "model", {}, 2)
    assert tree(tmp_path / "out") == expected


def test_ray_dead_worker_is_replaced(tmp_path, unbroken, address):
    source, expected = unbroken
    with ray_engine(partial(FakeAnnotator, before=DieAfter(1, once=tmp_path / "died")), 2, address) as engine:
        label(source, tmp_path / "out", engine, "model", {}, 2)
    assert (tmp_path / "died").exists()
    assert tree(tmp_path / "out") == expected
    with (
        ray_engine(partial(FakeAnnotator, before=Full()), 2, address) as engine,
        pytest.raises(StorageError, match="full"),
    ):
        label(source, tmp_path / "other", engine, "model", {}, 2)


class Full:
    def __call__(self, done: int) -> None:
        raise StorageError("the disk is full", "here")


KILLED = """
import os, sys
from functools import partial
from pathlib import Path
from fake_annotator import FakeAnnotator, KillGroup
from labelgen.labeling.engines import ray_engine
from labelgen.labeling.run import label
source, scratch, dialogues, address = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
(scratch / "group").write_text(str(os.getpgid(0)))
load = partial(FakeAnnotator, before=KillGroup(dialogues, scratch / "steps", scratch / "group"))
with ray_engine(load, 2, address) as engine:
    label(source, scratch / "out", engine, "model", {}, 2)
"""


@pytest.mark.parametrize("dialogues", [3, 9])
def test_ray_killed_run_resumes_with_any_engine(tmp_path, unbroken, address, dialogues):
    source, expected = unbroken
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(source), str(tmp_path), str(dialogues), address],
        start_new_session=True,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    label(source, tmp_path / "out", InlineEngine(FakeAnnotator), "model", {}, 2)
    assert tree(tmp_path / "out") == expected
    assert list(verify(tmp_path / "out", source)) == []


@pytest.mark.parametrize("kinds", [["a", "a", "a"], ["a", "b", "a"]])
def test_ray_mixed_processors_are_refused(kinds):
    """Told by a stand-in for Ray, since a cluster on this machine has one kind."""
    actors = [FakeActor(FakeAnnotator(processor=kind)) for kind in kinds]
    engine = RayEngine(SimpleNamespace(get=lambda found: found), actors)
    if len(set(kinds)) == 1:
        assert engine.provenance().processor == "a"
    else:
        with pytest.raises(UsageError, match="of 2 kinds: a, b"):
            engine.provenance()


class FakeActor:
    def __init__(self, annotator: FakeAnnotator) -> None:
        self.annotator = annotator
        self.provenance = SimpleNamespace(remote=lambda: annotator.provenance)


def test_ray_too_many_workers_are_refused(address):
    with pytest.raises(UsageError, match="has 2 CPUs"), ray_engine(FakeAnnotator, 3, address):
        pass
