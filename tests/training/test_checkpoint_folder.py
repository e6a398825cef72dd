"""Checkpoints and state of a run: kills, damage and full disks."""

import errno
import io
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from killed_training import kill_from_now_on, processes, train
from whole_runs import BrokenOffError, break_off_at, common, digest, rows

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.cli.main import main
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune, open_run

BEST = 1
LOSSES = (3.0, 1.0, 2.0)
"""By epoch, the least in BEST."""


@pytest.fixture(scope="module")
def in_process() -> Iterator[Callable[..., int]]:
    with processes() as run:
        yield run


def test_kill_at_any_disk_change_keeps_best_model(
    options: Callable[..., FinetuneOptions], log: Path, tiny_encoder: Path, in_process: Callable[..., int]
):
    def argv(out: str) -> list[str]:
        more = [f"--data.valid=[{log}]", "--length.keep=best", f"--length.max_epochs={len(LOSSES)}"]
        return [*common(log, tiny_encoder, out, *more)]

    assert in_process(train, argv("whole"), LOSSES, BEST, None) == 0
    for change in range(100):
        killed = f"killed{change}"
        code = in_process(train, argv(killed), LOSSES, BEST, change)
        assert in_process(train, argv(killed), LOSSES, BEST, None) == 0
        assert digest(options(killed)) == digest(options("whole")), f"after a kill at change {change}"
        assert rows(options(killed)) == rows(options("whole"))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert 3 < change < 99


def train_and_die(argv: list[str], change: int) -> None:
    kill_from_now_on(change)
    raise SystemExit(main(["finetune", *argv]))


def test_kill_before_first_step_allows_rerun(
    options: Callable[..., FinetuneOptions], log: Path, tiny_encoder: Path, in_process: Callable[..., int]
):
    """At each of the first changes of the disk, which are of what lies beside the checkpoints."""
    for change in range(8):
        argv = [*common(log, tiny_encoder, f"killed{change}", "--length.max_steps=1")]
        assert in_process(train_and_die, argv, change) == -signal.SIGKILL
        assert main(["finetune", *argv]) == 0, f"after a kill at change {change}"


def broken_off(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the checkpoints of a run that broke off after some steps."""
    with monkeypatch.context() as patch:
        break_off_at(patch, 5)
        with pytest.raises(BrokenOffError):
            finetune(options("a"))
    return Path(options("a").out) / "checkpoints"


def test_checkpoint_flipped_bit_is_refused(
    options: Callable[..., FinetuneOptions],
    log: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for path in broken_off(options, monkeypatch).glob("*.ckpt"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert main(["finetune", *common(log, tiny_encoder, "a")]) == IntegrityError.exit_code
    told = capsys.readouterr().err
    assert "the checkpoint changed after it was written" in told
    assert f"where: {Path(options('a').out) / 'checkpoints'}{os.sep}step-" in told
    assert "hint:" in told


@pytest.mark.parametrize("damage", ["{", '{"last": {"file": "step-1.ckpt"}}', "cut"])
def test_checkpoint_index_damaged_is_refused(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch, damage: str
):
    index = broken_off(options, monkeypatch) / "index.json"
    index.write_text(index.read_text()[:-9] if damage == "cut" else damage)
    with pytest.raises(IntegrityError, match=r"index\.json cannot be read"):
        finetune(options("a"))


def test_checkpoint_missing_is_refused(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch):
    for path in broken_off(options, monkeypatch).glob("*.ckpt"):
        path.unlink()
    with pytest.raises(IntegrityError, match="the checkpoint is missing"):
        finetune(options("a"))


def test_checkpoint_of_version_02_is_refused(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch):
    folder = broken_off(options, monkeypatch)
    for path in folder.iterdir():
        path.rename(folder / "last.ckpt")
    with pytest.raises(IntegrityError, match=r"last\.ckpt was written by labelgen 0\.2, without a digest"):
        finetune(options("a"))


def test_checkpoints_unused_are_removed(options: Callable[..., FinetuneOptions], log: Path):
    asked = options("a", f"--data.valid=[{log}]", "--length.keep=best")
    finetune(asked)
    folder = Path(asked.out) / "checkpoints"
    index = msgspec.json.decode((folder / "index.json").read_bytes())
    named = {saved["file"] for saved in index.values() if saved is not None}
    assert {path.name for path in folder.iterdir()} == {*named, "index.json"}


def test_checkpoints_without_temporary_folder_are_written(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """What a corpus keeps there has no name, and is made before anything is learned."""
    other = tmp_path / "temporary"
    other.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    made: list[str] = []
    replaced = os.replace

    def replace(old: str, new: str) -> None:
        made.append(str(old))
        replaced(old, new)

    monkeypatch.setattr(os, "replace", replace)
    finetune(options("a", "--length.max_steps=2"))
    assert any(".ckpt" in name for name in made)
    assert [name for name in made if Path(name).is_relative_to(other)] == []


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

    monkeypatch.setattr("labelgen.training.prepared.tempfile.TemporaryFile", full)
    with pytest.raises(StorageError, match="No space left on device") as told:
        finetune(options("a"))
    assert told.value.where == tempfile.gettempdir()
    assert "TMPDIR" in told.value.hint


DAMAGE = {
    "half run.json": ("run.json", lambda text: text[: len(text) // 2]),
    "empty run.json": ("run.json", lambda text: ""),
    "run.json of a list": ("run.json", lambda text: "[]"),
    "run.json of text": ("run.json", lambda text: text.replace('"step":0', '"step":"none"')),
    "deep run.json": ("run.json", lambda text: "[" * 100_000),
    "half config.yaml": ("config.yaml", lambda text: text[: len(text) // 2]),
    "config.yaml cut in a value": ("config.yaml", lambda text: text[: text.index("[")] + "["),
    "empty config.yaml": ("config.yaml", lambda text: ""),
    "config.yaml of a list": ("config.yaml", lambda text: "- 1\n"),
    "config.yaml of code": ("config.yaml", lambda text: "!!python/object/apply:os.system [touch canary]"),
    "config.yaml of numbers": ("config.yaml", lambda text: "1: 2\n"),
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
    CheckpointFolder(folder / CHECKPOINTS).commit(CheckpointIndex(SavedCheckpoint("step-1.ckpt", ""), None, None))
    (folder / "config.yaml").write_text(to_yaml(asked), encoding="utf-8")
    (folder / "run.json").write_text('{"data_digest":"d","step":0,"steps":0,"elapsed_s":0.0,"ended":null}\n')
    return asked


def test_a_run_as_it_was_left_is_opened(begun):
    state = open_run(Path(begun.out), begun)
    assert state is not None
    assert state.data_digest == "d"


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_of_a_run_are_told(begun, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file, damaged = DAMAGE[name]
    path = Path(begun.out) / file
    path.write_text(damaged(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(IntegrityError, match=file.replace(".", r"\.")) as refused:
        open_run(Path(begun.out), begun)
    assert refused.value.where == str(path)
    assert not (tmp_path / "canary").exists()
