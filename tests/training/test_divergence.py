"""A training whose numbers are no longer finite stops at once, keeps what was right, and says what to try."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from whole_runs import common

from labelgen.base.errors import DivergedError
from labelgen.cli.main import main
from labelgen.training.checkpoints import CheckpointFolder, CheckpointIndex, weights_of
from labelgen.training.module import TrainingModule
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune


def lose(patch: pytest.MonkeyPatch, step: int) -> None:
    """From this step on, counted from 0, the loss is no number."""
    whole = TrainingModule.training_step

    def training_step(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        made = whole(self, batch, batch_idx)
        if self.global_step < step:
            return made
        measured = {task: (nats * math.nan, weight) for task, (nats, weight) in made["sums"].items()}
        return {"loss": made["loss"] * math.nan, "sums": measured}

    patch.setattr(TrainingModule, "training_step", training_step)


def spoil(patch: pytest.MonkeyPatch, step: int) -> None:
    """The gradients of this step are no numbers, though its loss is one."""
    clip = TrainingModule.configure_gradient_clipping

    def clipped(self: TrainingModule, *words: Any, **more: Any) -> None:
        clip(self, *words, **more)
        for parameter in self.parameters():
            if self.global_step == step and parameter.grad is not None:
                parameter.grad.fill_(math.nan)

    patch.setattr(TrainingModule, "configure_gradient_clipping", clipped)


def index_of(options: FinetuneOptions) -> tuple[CheckpointFolder, CheckpointIndex]:
    saved = CheckpointFolder(Path(options.out) / "checkpoints")
    index = saved.index()
    assert index is not None
    return saved, index


@pytest.mark.parametrize(
    ("diverge", "why"), [(lose, r"the loss of .* is not finite in step 4"), (spoil, r"is not finite after step 4")]
)
def test_a_diverged_run_keeps_the_last_finite_checkpoint_and_says_what_to_try(
    options: Callable[..., FinetuneOptions],
    log: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    diverge: Callable[[pytest.MonkeyPatch, int], None],
    why: str,
):
    argv = ["finetune", *common(log, tiny_encoder, "a run", "--batch.turns=8")]
    with monkeypatch.context() as patch:
        diverge(patch, 3)
        assert main(argv) == DivergedError.exit_code == 7
    told = capsys.readouterr().err
    assert re.search(why, told)
    asked = options("a run")
    saved, index = index_of(asked)
    last = saved.read(index.last)
    assert last["global_step"] == 3
    assert all(bool(torch.isfinite(w).all()) for w in weights_of(last).values() if w.is_floating_point())
    assert "a tenth of optimizer.learning_rate" in told
    assert not (Path(asked.out) / "model").exists()


def test_weights_that_are_not_finite_end_the_run_at_its_validation(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    """In the last step of an epoch, after which labels without finite probabilities are decoded."""
    spoil(monkeypatch, 1)
    with pytest.raises(DivergedError, match=r"valid_loss/.* is not finite after step 2"):
        finetune(options("a", f"--data.valid=[{log}]"))
