"""atomic_folder fills a folder completely, or does not change it."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_folder, write_text

OLD = {"a.txt": "old", "kept.txt": "mine"}


def content(folder: Path) -> dict[str, str] | None:
    return {p.name: p.read_text() for p in folder.iterdir()} if folder.is_dir() else None


@pytest.fixture(params=[None, {}, OLD], ids=["not there", "empty", "holds files"])
def folder(request, tmp_path) -> Path:
    path: Path = tmp_path / "sub" / "out"
    if request.param is not None:
        path.mkdir(parents=True)
        for name, text in request.param.items():
            (path / name).write_text(text)
    return path


def test_atomic_folder_moves_files_at_the_end_and_not_before(folder):
    before = content(folder) or {}
    with atomic_folder(folder, force=True) as part:
        for name in ("a.txt", "b.txt"):
            write_text(part / name, "new")
        assert all((folder / name).read_text() == text for name, text in before.items())
        assert not (folder / "b.txt").exists()
    assert content(folder) == {**before, "a.txt": "new", "b.txt": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_folder_when_the_block_raises_stays_unchanged(folder, error):
    before = content(folder)

    def fail() -> None:
        with atomic_folder(folder, force=True) as part:
            write_text(part / "a.txt", "new")
            raise error

    with pytest.raises(error):
        fail()
    assert content(folder) == before


def test_atomic_folder_not_empty_without_force_raises(folder):
    if not content(folder):
        return
    with pytest.raises(UsageError, match="not empty"), atomic_folder(folder, force=False):
        pass
    assert content(folder) == OLD


def fill_and_die(folder: Path) -> None:
    with atomic_folder(folder, force=False) as part:
        write_text(part / "a.txt", "half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_atomic_folder_after_a_kill_removes_the_remains(tmp_path):
    out = tmp_path / "out"
    killed = multiprocessing.get_context("spawn").Process(target=fill_and_die, args=(out,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert [path.name for path in out.iterdir() if not path.name.endswith(".part")] == []
    with atomic_folder(out, force=False) as part:
        write_text(part / "a.txt", "new")
    assert content(out) == {"a.txt": "new"}


def test_atomic_folder_in_use_by_another_raises(tmp_path):
    out = tmp_path / "out"
    with atomic_folder(out, force=False) as part:
        write_text(part / "a.txt", "new")
        with pytest.raises(UsageError, match="not empty"), atomic_folder(out, force=False):
            pass
    assert content(out) == {"a.txt": "new"}
