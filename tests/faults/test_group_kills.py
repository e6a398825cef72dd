"""The whole process group of a run is killed at random points, in the workers and in the run itself; the rerun gives the
bytes of an unbroken run, nothing lost, nothing doubled, nothing left over."""

import os
import random
import signal
from functools import partial
from pathlib import Path

import pytest
from fake_annotator import FakeAnnotator, KillGroup
from some_logs import record, tree, write_lines, write_rows

from labelgen.labeling.engines import InlineEngine, local_engine
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

CHANGES = ("replace", "fsync", "unlink", "rmdir", "mkdir")
DIALOGUES = 30


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    base = tmp_path_factory.mktemp("unbroken")
    write_lines(base / "in" / "a.jsonl", [*(record(f"a{k}") for k in range(11)), "{", record("a11", 0)])
    write_lines(base / "in" / "b.jsonl.gz", [record(f"b{k}") for k in range(9)])
    write_rows(base / "in" / "sub" / "c.parquet", [record(f"c{k}") for k in range(9)])
    label(base / "in", base / "out", InlineEngine(FakeAnnotator), "model", {}, 2)
    return base / "in", tree(base / "out")


def group_run(source: Path, out: Path, scratch: Path, dialogues: int, changes: int) -> None:
    """In a group of its own, which is killed ahead of its n-th dialogue, or of the run's own n-th change to the disk."""
    os.setpgid(0, 0)
    (scratch / "group").write_text(str(os.getpgid(0)))
    left = [changes]

    def counted(real):
        def change(*args, **more):
            left[0] -= 1
            if left[0] == 0:
                os.killpg(0, signal.SIGKILL)
            return real(*args, **more)

        return change

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    load = partial(FakeAnnotator, before=KillGroup(dialogues, scratch / "steps", scratch / "group"))
    with local_engine(load, 2) as engine:
        label(source, out, engine, "model", {}, 2)


@pytest.mark.parametrize("seed", range(10))
def test_labeling_killed_group_resumes(tmp_path, unbroken, seed):
    source, expected = unbroken
    rng = random.Random(seed)
    dialogues = rng.randint(1, DIALOGUES) if seed % 2 else 0
    changes = 0 if seed % 2 else rng.randint(1, 90)
    child = os.fork()
    if child == 0:
        try:
            group_run(source, tmp_path / "out", tmp_path, dialogues, changes)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    label(source, tmp_path / "out", InlineEngine(FakeAnnotator), "model", {}, 2)
    assert tree(tmp_path / "out") == expected
    assert list(verify(tmp_path / "out", source)) == []
