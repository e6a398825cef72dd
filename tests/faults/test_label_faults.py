"""Kills at any moment, full disks, read-only folders, damaged files: what was committed stands, the rest is done again,
and the bytes are those of an unbroken run."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from fake_annotator import DieAfter, FakeAnnotator
from some_logs import record, tree, write_lines

from labelgen.base.errors import IntegrityError, LabelgenError, ResourceError, StorageError
from labelgen.base.process import Terminated, raise_on_sigterm
from labelgen.labeling.engines import InlineEngine, local_engine
from labelgen.labeling.manifest import LabelCounts
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

CHANGES = ("replace", "fsync", "unlink", "rmdir", "mkdir")
"""What reaches the disk goes through these."""


def small_log(folder: Path) -> Path:
    write_lines(folder / "a.jsonl", [record("a0"), "{", record("a1"), record("a2")])
    write_lines(folder / "sub" / "b.jsonl.gz", [record("b0"), record("b1")])
    return folder


def run(source: Path, out: Path, force: bool = False, **fake) -> LabelCounts:
    return label(source, out, InlineEngine(partial(FakeAnnotator, **fake)), "model", {}, 2, force)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """A log, and what an unbroken run makes of it."""
    base = tmp_path_factory.mktemp("unbroken")
    run(small_log(base / "in"), base / "out")
    return base / "in", tree(base / "out")


def in_child(work: Callable[[], object]) -> int:
    """Do it in a process of its own; gives how it ended: 0, an error's exit code, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        except LabelgenError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(count: int) -> None:
    """From here on, this process dies ahead of its `count`-th change to the disk."""
    left = [count]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def change(*args: object, **more: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return change

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def killed_run(source: Path, out: Path, count: int) -> None:
    kill_at(count)
    run(source, out)


def test_kill_at_any_disk_change_resumes(tmp_path, unbroken):
    source, expected = unbroken
    for count in range(500):
        out = tmp_path / str(count)
        code = in_child(partial(killed_run, source, out, count))
        visible = {p: d for p, d in tree(out).items() if not any(s.startswith(".") for s in p.split("/"))}
        assert visible.items() <= expected.items(), f"half a file after a kill at change {count}"
        run(source, out)
        assert tree(out) == expected, f"after a kill at change {count}"
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert 30 < count < 499


def test_killed_worker_ends_run_and_rerun_finishes(tmp_path, unbroken):
    source, expected = unbroken
    load = partial(FakeAnnotator, before=DieAfter(1, once=tmp_path / "died"))
    with pytest.raises(ResourceError, match="worker process was killed"), local_engine(load, 2) as engine:
        label(source, tmp_path / "out", engine, "model", {}, 2)
    with local_engine(load, 2) as engine:
        label(source, tmp_path / "out", engine, "model", {}, 2)
    assert tree(tmp_path / "out") == expected


def test_killed_worker_before_submission_is_reported(tmp_path, unbroken):
    """The pool may break before a shard is handed in as well as after."""
    source, _ = unbroken
    with local_engine(partial(FakeAnnotator, before=DieAfter(0)), 2) as engine:
        for folder in ("first", "second"):
            with pytest.raises(ResourceError, match="worker process was killed"):
                label(source, tmp_path / folder, engine, "model", {}, 2)


def test_killed_parent_ends_workers(tmp_path, unbroken):
    """They hold its standard output: were one left, the pipe would never end."""
    source, expected = unbroken
    script = f"""
from functools import partial
from pathlib import Path
from fake_annotator import FakeAnnotator, KillParent
from labelgen.labeling.engines import local_engine
from labelgen.labeling.run import label
if __name__ == "__main__":
    with local_engine(partial(FakeAnnotator, before=KillParent()), 2) as engine:
        label(Path({str(source)!r}), Path({str(tmp_path / "out")!r}), engine, "model", {{}}, 2)
"""
    path = tmp_path / "script.py"
    path.write_text(script)
    ended = subprocess.run(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL
    run(source, tmp_path / "out")
    assert tree(tmp_path / "out") == expected


TERMINATED = r"stopped by SIGTERM; finished files: {}; committed shards of the others: {}; the same command resumes"


def test_sigterm_reports_commits_and_rerun_finishes(tmp_path, unbroken):
    source, expected = unbroken

    def terminate(done: int) -> None:
        if done == 3:
            signal.raise_signal(signal.SIGTERM)

    with raise_on_sigterm(), pytest.raises(Terminated, match=TERMINATED.format("1 of 2", 0)):
        run(source, tmp_path / "out", before=terminate)
    diary = tmp_path / "diary"
    run(source, tmp_path / "out", diary=diary)
    assert tree(tmp_path / "out") == expected
    assert len(diary.read_text().split()) == 2


def test_sigterm_waits_for_worker_start(tmp_path, unbroken, monkeypatch):
    """One that is half started would tell of a parent that went away."""
    source, _ = unbroken
    started: list[str] = []
    submit = ProcessPoolExecutor.submit

    def terminated(self: ProcessPoolExecutor, work: Callable[..., object], *words: object):
        signal.raise_signal(signal.SIGTERM)
        future = submit(self, work, *words)
        started.append(work.__name__)
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "submit", terminated)
    with raise_on_sigterm(), pytest.raises(Terminated), local_engine(FakeAnnotator, 2) as engine:
        label(source, tmp_path / "out", engine, "model", {}, 2)
    assert len(started) == 1


def test_sigterm_command_exits_143(tmp_path, unbroken):
    """They hold its standard output: were one left, the pipe would never end."""
    source, _ = unbroken
    path = tmp_path / "script.py"
    path.write_text(f"""
import signal
import sys
from fake_annotator import FakeAnnotator, KillParent
import labelgen.steps.label
from labelgen.cli.main import main
def load(*words, **more):
    return FakeAnnotator(before=KillParent(signal.SIGTERM, 1))
if __name__ == "__main__":
    labelgen.steps.label.load_annotator = load
    words = ["--model", "none", "--workers", "2", "--shard-dialogues", "2"]
    sys.exit(main(["label", {str(source)!r}, {str(tmp_path / "out")!r}, *words]))
""")
    ended = subprocess.run(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=120,
        text=True,
    )
    assert ended.returncode == 143
    assert re.fullmatch("labelgen label: " + TERMINATED.format(r"\d of 2", r"\d") + "\n", ended.stderr)
    for out in ("out", "unbroken"):
        label(source, tmp_path / out, InlineEngine(FakeAnnotator), "model", {"device": "cpu"}, 2)
    assert tree(tmp_path / "out") == tree(tmp_path / "unbroken")


def limited_run(source: Path, out: Path, size: int) -> None:
    """No file may grow beyond `size` bytes: to the program, a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    run(source, out)


@pytest.mark.parametrize("size", [0, 400, 1200, 2400])
def test_full_disk_leaves_no_partial_file(tmp_path, unbroken, size):
    source, expected = unbroken
    out = tmp_path / "out"
    assert in_child(partial(limited_run, source, out, size)) == StorageError.exit_code
    left = {path: data for path, data in tree(out).items() if not path.startswith(".")}
    assert left.items() <= expected.items()
    run(source, out)
    assert tree(out) == expected


def test_rename_across_filesystems_error_names_path(tmp_path, unbroken, monkeypatch):
    """As where one folder of the output is a mount of its own."""
    source, expected = unbroken
    out = tmp_path / "out"
    real = os.replace

    def across(old, new):
        if Path(new) == out / "a.jsonl":
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(old), None, str(new))
        real(old, new)

    monkeypatch.setattr(os, "replace", across)
    with pytest.raises(StorageError) as told:
        run(source, out)
    assert str(out / "a.jsonl") in str(told.value)
    assert not [path for path in tree(out) if not path.startswith(".")]
    monkeypatch.undo()
    run(source, out)
    assert tree(out) == expected


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def run_as_nobody(source: Path, out: Path) -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    run(source, out)


def test_read_only_folder_is_storage_error(open_folder):
    source, out = small_log(open_folder / "in"), open_folder / "out"
    out.mkdir(mode=0o555)
    assert in_child(partial(run_as_nobody, source, out)) == StorageError.exit_code
    assert tree(out) == {}
    out.chmod(0o755)


def half_done(source: Path, out: Path) -> Path:
    """One shard of a.jsonl is committed; gives the ledger."""
    assert in_child(partial(run, source, out, before=DieAfter(1))) == -signal.SIGKILL
    return out / ".labeling" / "ledger"


def test_damaged_part_is_repeated(tmp_path, unbroken):
    source, expected = unbroken
    half_done(source, tmp_path / "out")
    part = tmp_path / "out" / ".labeling" / "parts" / "a.jsonl" / "000000.jsonl"
    part.write_bytes(part.read_bytes()[:-5])
    run(source, tmp_path / "out")
    assert tree(tmp_path / "out") == expected


def test_ledger_damaged_is_refused_unless_forced(tmp_path, unbroken):
    source, expected = unbroken
    ledger = half_done(source, tmp_path / "out")
    commit = sorted(ledger.iterdir())[-1]
    commit.write_bytes(commit.read_bytes().replace(b'"labeled":', b'"labeled"?', 1))
    with pytest.raises(IntegrityError, match="ledger"):
        run(source, tmp_path / "out")
    run(source, tmp_path / "out", force=True)
    assert tree(tmp_path / "out") == expected


def test_manifest_lost_is_restored_with_force(tmp_path, unbroken):
    """Without one, nothing tells which quarantine files are of this log; one that is not goes."""
    source, expected = unbroken
    out = tmp_path / "out"
    run(source, out)
    (out / "manifest.json").write_text("{")
    write_lines(out / "sub" / "b.jsonl.gz.quarantine.jsonl", ["old"])
    with pytest.raises(IntegrityError, match="damaged"):
        run(source, out)
    run(source, out, force=True)
    assert tree(out) == expected


def test_unfinished_run_other_model_is_refused(tmp_path, unbroken):
    source, _ = unbroken
    half_done(source, tmp_path / "out")
    with pytest.raises(IntegrityError, match="model_digest: m1, now m2"):
        run(source, tmp_path / "out", model="m2")
    assert list(verify(tmp_path / "out")) == ["the run is not finished: give the same labelgen label command again"]
    run(source, tmp_path / "out", model="m2", force=True)
    run(source, tmp_path / "unbroken", model="m2")
    assert tree(tmp_path / "out") == tree(tmp_path / "unbroken")


@pytest.mark.parametrize(
    ("name", "damage"), [("a.jsonl", "flip"), ("a.jsonl.quarantine.jsonl", "cut"), ("sub/b.jsonl.gz", "cut")]
)
def test_damaged_output_is_refused_and_restored_with_force(tmp_path, unbroken, name, damage):
    source, expected = unbroken
    out = tmp_path / "out"
    run(source, out)
    data = bytearray(expected[name])
    data[len(data) // 2] ^= 1
    (out / name).write_bytes(data if damage == "flip" else data[:-1])
    assert list(verify(out)) == [f"{name} changed after it was written"]
    with pytest.raises(IntegrityError, match="changed after it was written"):
        run(source, out)
    run(source, out, force=True)
    assert tree(out) == expected
