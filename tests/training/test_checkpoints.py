"""What a run saves is whole, right and of one piece, whenever it is killed and whatever becomes of its files."""

import errno
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
from labelgen.training.run import finetune

BEST = 1
LOSSES = (3.0, 1.0, 2.0)
"""By epoch, the least in BEST."""


@pytest.fixture(scope="module")
def in_process() -> Iterator[Callable[..., int]]:
    with processes() as run:
        yield run


def test_a_kill_at_any_change_of_the_disk_in_the_best_epoch_leaves_the_right_model(
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


def test_a_kill_before_anything_is_learned_leaves_a_folder_that_the_same_command_takes(
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


def test_a_flipped_bit_in_a_checkpoint_is_refused_by_its_path(
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
def test_a_damaged_index_of_checkpoints_is_refused(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch, damage: str
):
    index = broken_off(options, monkeypatch) / "index.json"
    index.write_text(index.read_text()[:-9] if damage == "cut" else damage)
    with pytest.raises(IntegrityError, match=r"index\.json cannot be read"):
        finetune(options("a"))


def test_an_index_that_names_a_lost_checkpoint_is_refused(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    for path in broken_off(options, monkeypatch).glob("*.ckpt"):
        path.unlink()
    with pytest.raises(IntegrityError, match="the checkpoint is missing"):
        finetune(options("a"))


def test_an_unfinished_run_of_the_earlier_version_is_refused_with_a_word(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    folder = broken_off(options, monkeypatch)
    for path in folder.iterdir():
        path.rename(folder / "last.ckpt")
    with pytest.raises(IntegrityError, match=r"last\.ckpt was written by labelgen 0\.2, without a digest"):
        finetune(options("a"))


def test_a_run_leaves_only_the_checkpoints_that_its_index_names(options: Callable[..., FinetuneOptions], log: Path):
    asked = options("a", f"--data.valid=[{log}]", "--length.keep=best")
    finetune(asked)
    folder = Path(asked.out) / "checkpoints"
    index = msgspec.json.decode((folder / "index.json").read_bytes())
    named = {saved["file"] for saved in index.values() if saved is not None}
    assert {path.name for path in folder.iterdir()} == {*named, "index.json"}


def test_checkpoints_need_no_temporary_folder(
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


def test_what_a_kill_left_under_temporary_names_is_gone_after_the_next_run(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
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


def test_a_full_disk_is_told_with_the_path_of_the_checkpoint(
    log: Path, tiny_encoder: Path, tmp_path: Path, in_process: Callable[..., int]
):
    argv = common(log, tiny_encoder, "a")
    assert in_process(fill_up, [*argv, str(tmp_path / "told")]) == StorageError.exit_code
    told = (tmp_path / "told").read_text()
    folder = tmp_path / "a" / "checkpoints"
    assert f"cannot write step-1.ckpt: File too large\n  where: {folder / 'step-1.ckpt'}\n  hint:" in told
    assert list(folder.iterdir()) == []
    assert main(["finetune", *argv]) == 0


def test_a_full_disk_for_the_rows_is_told_with_their_path(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
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


def test_a_full_disk_for_prepared_dialogues_is_told_with_its_folder(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("labelgen.training.corpus.tempfile.TemporaryFile", Full)
    with pytest.raises(StorageError, match="No space left on device") as told:
        finetune(options("a"))
    assert told.value.where == tempfile.gettempdir()
    assert "TMPDIR" in told.value.hint
