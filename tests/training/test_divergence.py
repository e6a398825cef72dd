"""A training whose numbers are no longer finite stops at once, keeps what was right, and names the command that goes on from there."""

import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from whole_runs import common

from labelgen.base.errors import DivergedError
from labelgen.cli.main import main
from labelgen.model.folder import load_model, read_card
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
def test_a_diverged_run_keeps_the_last_finite_checkpoint_and_its_command_goes_on_from_there(
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
    command = shlex.split(told[told.index("labelgen finetune --config") :])
    assert main(command[1:]) == 0
    made = Path(f"{asked.out}-2") / "model"
    assert all(name.startswith("linear.") for name in read_card(made)["not_taken_over"])
    config = read_card(made)["config"]
    assert config["optimizer"]["learning_rate"] == pytest.approx(asked.optimizer.learning_rate / 10)
    assert config["optimizer"]["encoder_learning_rate"] == pytest.approx(asked.optimizer.encoder_learning_rate / 10)


def test_the_model_before_divergence_is_of_weights_that_are_known_to_give_a_finite_loss(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    """The loss of the step after the third is not finite, so what the third step made may be what spoilt it."""
    asked = options("a", "--batch.turns=8")
    lose(monkeypatch, 3)
    with pytest.raises(DivergedError, match="from the model of step 2"):
        finetune(asked)
    saved, index = index_of(asked)
    assert index.safe is not None
    weights = weights_of(saved.read(index.safe))
    kept = load_model(Path(asked.out) / "model_before_divergence").state_dict()
    # Texts of labels are encoded anew when a model is saved.
    differ = [name for name, value in weights.items() if not torch.equal(value, kept[name])]
    assert [name for name in differ if not name.startswith("labels_")] == []


def test_a_diverged_run_without_a_safe_checkpoint_names_a_command_that_starts_anew(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    lose(monkeypatch, 1)
    with pytest.raises(DivergedError) as told:
        finetune(options("a"))
    assert "no checkpoint is known to be safe" in told.value.hint
    assert "--init" not in told.value.hint
    assert not (Path(options("a").out) / "model_before_divergence").exists()


def test_weights_that_are_not_finite_end_the_run_at_its_validation(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    """In the last step of an epoch, after which labels without finite probabilities are decoded."""
    spoil(monkeypatch, 1)
    with pytest.raises(DivergedError, match=r"valid_loss/.* is not finite after step 2"):
        finetune(options("a", f"--data.valid=[{log}]"))
