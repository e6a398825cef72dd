"""SIGTERM while a model is trained: the run is saved at the next step, says so, and resumes to the same bytes."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from whole_runs import common, digest, rows

from labelgen.base.process import Terminated
from labelgen.cli.main import main
from labelgen.training.module import TrainingModule
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune


def terminate_at(patch: pytest.MonkeyPatch, call: int) -> None:
    """SIGTERM comes in the batch of that number, counted from 0."""
    whole, calls = TrainingModule.training_step, iter(range(10_000))

    def step(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        if next(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return whole(self, batch, batch_idx)

    patch.setattr(TrainingModule, "training_step", step)


def checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "checkpoints").glob("*.ckpt"))


# In the first batch of a step, and in the last step of an epoch.
@pytest.mark.parametrize(("call", "step"), [(4, 3), (2, 2)])
def test_a_terminated_run_saves_the_step_says_so_and_resumes_to_the_same_bytes(
    options: Callable[..., FinetuneOptions],
    log: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: int,
    step: int,
):
    more = [f"--data.valid=[{log}]", "--tracking.checkpoint_every=1000", "--length.steps=5"]
    before = signal.getsignal(signal.SIGTERM)
    finetune(options("whole", *more))
    asked = options("ended", *more)
    argv = ["finetune", *common(log, tiny_encoder, "ended", *more)]
    with monkeypatch.context() as patch:
        terminate_at(patch, call)
        assert main(argv) == 143
    told = capsys.readouterr().err
    assert f"stopped by SIGTERM; a checkpoint is saved after step {step}, and the same command resumes there" in told
    assert "Traceback" not in told
    assert checkpoints(Path(asked.out)) == [f"step-{step}.ckpt"]
    assert main(argv) == 0
    assert digest(asked) == digest(options("whole"))
    assert rows(asked) == rows(options("whole"))
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_from_python_restores_handler(options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch):
    came: list[int] = []
    own = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        terminate_at(monkeypatch, 0)
        with pytest.raises(Terminated, match="after step 1"):
            finetune(options("a"))
        assert came == []
        signal.raise_signal(signal.SIGTERM)
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, own)


def test_sigterm_loader_workers_live_until_save(
    log: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """As where a whole process group is asked to end."""
    import multiprocessing

    whole = TrainingModule.training_step

    def step(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        for child in multiprocessing.active_children():
            child.terminate()
            child.join(0.2)
        signal.raise_signal(signal.SIGTERM)
        return whole(self, batch, batch_idx)

    argv = ["finetune", *common(log, tiny_encoder, "a", "--data.workers=1")]
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", step)
        assert main(argv) == 143
    assert "a checkpoint is saved after step 1" in capsys.readouterr().err
    assert main(argv) == 0
