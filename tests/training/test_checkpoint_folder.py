"""Checkpoints and state of a run: kills, damage and full disks."""

import errno
import io
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from killed_training import processes
from whole_runs import BrokenOffError, break_off_at, common

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.cli.main import main
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune, open_run


@pytest.fixture(scope="module")
def in_process() -> Iterator[Callable[..., int]]:
    with processes() as run:
        yield run


def broken_off(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the checkpoints of a run that broke off after some steps."""
    with monkeypatch.context() as patch:
        break_off_at(patch, 5)
        with pytest.raises(BrokenOffError):
            finetune(options("a"))
    return Path(options("a").out) / "checkpoints"


def test_checkpoints_unused_are_removed(options: Callable[..., FinetuneOptions], log: Path):
    asked = options("a", f"--data.valid=[{log}]", "--length.keep=best")
    finetune(asked)
    folder = Path(asked.out) / "checkpoints"
    index = msgspec.json.decode((folder / "index.json").read_bytes())
    named = {saved["file"] for saved in index.values() if saved is not None}
    assert {path.name for path in folder.iterdir()} == {*named, "index.json"}


def test_temporary_files_of_kill_are_removed(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch):
    folder = broken_off(options, monkeypatch)
    stale = [folder / ".step-9.ckpt.abc.part", folder / "step-9.ckpt", folder.parent / ".run.json.abc.part"]
    for path in stale:
        path.write_text("half")
    finetune(options("a"))
    assert [path for path in stale if path.exists()] == []


def fill_up(argv: list[str]) -> None:
    """No file may grow beyond a size that a checkpoint exceeds: to the program, a disk that is full."""
    from labelgen.training.checkpoints import Checkpoints

    started = Checkpoints.on_train_start

    def limited(self: Checkpoints, trainer: object, module: object) -> None:
        started(self, trainer, module)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    setattr(Checkpoints, "on_train_start", limited)  # noqa: B010
    with open(argv.pop(), "w") as told:
        os.dup2(told.fileno(), 2)
    raise SystemExit(main(["finetune", *argv]))


def test_full_disk_error_names_checkpoint(
    log: Path, tiny_encoder: Path, tmp_path: Path, in_process: Callable[..., int]
):
    argv = common(log, tiny_encoder, "a")
    assert in_process(fill_up, [*argv, str(tmp_path / "told")]) == StorageError.exit_code
    told = (tmp_path / "told").read_text()
    folder = tmp_path / "a" / "checkpoints"
    assert f"cannot write step-1.ckpt: File too large\n  where: {folder / 'step-1.ckpt'}\n  hint:" in told
    assert list(folder.iterdir()) == []
    assert main(["finetune", *argv]) == 0


def test_full_disk_error_names_metrics(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch):
    metrics = Path(options("a").out) / "metrics.jsonl"
    opened = Path.open

    def full(self: Path, mode: str = "r", **words: Any) -> Any:
        if self == metrics and mode == "ab":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, **words)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match=r"cannot write metrics\.jsonl: No space left on device") as told:
        finetune(options("a"))
    assert told.value.where == str(metrics)


def test_full_disk_error_names_temporary_folder(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    def full(**_: object) -> io.RawIOBase:
        # /dev/full takes nothing: each write finds the disk full.
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr("labelgen.training.corpus.tempfile.TemporaryFile", full)
    with pytest.raises(StorageError, match="No space left on device") as told:
        finetune(options("a"))
    assert told.value.where == tempfile.gettempdir()
    assert "TMPDIR" in told.value.hint


DAMAGE = {
    "cut index": ("checkpoints/index.json", lambda text: text[:-9]),
    "index of another form": ("checkpoints/index.json", lambda text: '{"last": {"file": "step-1.ckpt"}}'),
    "half run.json": ("run.json", lambda text: text[: len(text) // 2]),
    "deep run.json": ("run.json", lambda text: "[" * 100_000),
    "half config.yaml": ("config.yaml", lambda text: text[: len(text) // 2]),
    "config.yaml of code": ("config.yaml", lambda text: "!!python/object/apply:os.system [touch canary]"),
    "deep config.yaml": ("config.yaml", lambda text: "[" * 10_000),
}


@pytest.fixture
def begun(options: Callable[..., FinetuneOptions], tmp_path: Path) -> FinetuneOptions:
    """A run with a checkpoint, as far as its folder shows."""
    from labelgen.base.yaml_text import to_yaml
    from labelgen.training.checkpoints import CheckpointFolder, CheckpointIndex, SavedCheckpoint
    from labelgen.training.fit import CHECKPOINTS

    asked = options("a")
    folder = Path(asked.out)
    (folder / CHECKPOINTS).mkdir(parents=True)
    CheckpointFolder(folder / CHECKPOINTS).commit(CheckpointIndex(SavedCheckpoint("step-1.ckpt", ""), None))
    (folder / "config.yaml").write_text(to_yaml(asked), encoding="utf-8")
    (folder / "run.json").write_text('{"data_digest":"d","step":0,"steps":0,"elapsed_s":0.0,"done":false}\n')
    return asked


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_of_a_run_are_told(begun, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file, damaged = DAMAGE[name]
    path = Path(begun.out) / file
    path.write_text(damaged(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(IntegrityError, match=path.name.replace(".", r"\.")) as refused:
        open_run(Path(begun.out), begun)
    assert refused.value.where == str(path)
    assert not (tmp_path / "canary").exists()
