"""Training module: gradients do not depend on how a step is split, batches are online by their place, task weights are learned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from labeled import LABELS, every_target, labeled_dialogue
from torch import nn

from labelgen.features.layout import Batch
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions
from labelgen.training.loader import StepBatch
from labelgen.training.module import TrainingModule
from labelgen.training.options import OptimizerOptions
from labelgen.training.sampler import StepPart

DIALOGUES = [labeled_dialogue(seed) for seed in range(8)]
# Selection is left out: its negatives are its batch.
TASKS = {
    "goals": TaskOptions(),
    "outcome": TaskOptions(weight=0.5),
    "quality": TaskOptions(weight=2.0),
    "intents": TaskOptions(),
    "slots": TaskOptions(),
    "order": TaskOptions(),
}


@pytest.fixture
def model(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> LabelModel:
    monkeypatch.setattr("labelgen.nn.structure.LABEL_DROPOUT", 0.0)
    torch.manual_seed(0)
    options = ModelOptions(
        encoder=str(tiny_encoder), dialogue_width=32, dialogue_layers=1, dialogue_heads=2, dropout=0.0
    )
    return build_model(options, TASKS, LABELS, DIALOGUES)


class Steps:
    """The one step, cut into batches of so many dialogues, shared among processes."""

    def __init__(self, model: LabelModel, size: int, drop: Callable[[int], bool], processes: int) -> None:
        examples = [Example(d, () if drop(i) else every_target(d)) for i, d in enumerate(DIALOGUES)]
        collator = model.collator()
        self.all = [collator(examples[i : i + size]) for i in range(0, len(examples), size)]
        self.processes = processes
        self.process = lambda: 0

    @property
    def batches(self) -> list[Batch]:
        return self.all[self.process() :: self.processes]

    def __iter__(self) -> Any:
        weights: dict[str, float] = {}
        for batch in self.batches:
            for name, weight in batch.target_weights.items():
                weights[name] = weights.get(name, 0.0) + weight
        for k, batch in enumerate(self.batches):
            yield StepBatch(batch, StepPart(0, k, k == len(self.batches) - 1, 0, ()), weights)


class Gradients(pl.Callback):
    """Writes them to a file, since a process of its own may have made them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.is_global_zero:
            torch.save({n: p.grad for n, p in pl_module.named_parameters() if p.grad is not None}, self.path)


class SteppedBy(Gradients):
    """As they are when the step was made."""

    def on_before_optimizer_step(self, *_: Any) -> None:
        pass

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        super().on_before_optimizer_step(trainer, pl_module, trainer.optimizers[0])


def gradients(
    model: LabelModel,
    path: Path,
    size: int,
    drop: Callable[[int], bool] = lambda _: False,
    processes: int = 1,
    when: type[Gradients] = Gradients,
) -> dict[str, torch.Tensor]:
    # In evaluation mode of every part there is no dropout, and texts of labels are encoded once, here.
    model.refresh_labels()
    model.eval()
    steps = Steps(model, size, drop, processes)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="auto" if processes == 1 else "ddp_fork_find_unused_parameters_true",
        use_distributed_sampler=False,
        max_epochs=1,
        accumulate_grad_batches=len(steps.batches),
        logger=False,
        callbacks=[when(path / "gradients")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = TrainingModule(model, OptimizerOptions(learning_rate=0.0, encoder_learning_rate=0.0), 1, 0)
    (path / "gradients").unlink(missing_ok=True)
    steps.process = lambda: trainer.global_rank
    trainer.fit(module, steps)
    found: dict[str, torch.Tensor] = torch.load(path / "gradients", weights_only=True)
    return found


@pytest.mark.filterwarnings("ignore:.*eval mode.*", "ignore:.*val_dataloader.*", "ignore:.*LeafSpec.*")
@pytest.mark.parametrize("size", [1, 3])
def test_gradient_split_batch_is_equal(model: LabelModel, tmp_path: Path, size: int):
    whole, parts = gradients(model, tmp_path, 8), gradients(model, tmp_path, size)
    assert set(whole) == set(parts)
    assert sum(float(g.abs().sum()) for g in whole.values()) > 1.0
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*eval mode.*", "ignore:.*val_dataloader.*", "ignore:.*LeafSpec.*")
def test_gradient_two_processes_is_equal(model: LabelModel, tmp_path: Path):
    """Their shares weigh differently, and one of them has no target of some tasks."""
    whole, shared = gradients(model, tmp_path, 8), gradients(model, tmp_path, 2, processes=2)
    for name, gradient in whole.items():
        torch.testing.assert_close(shared[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*eval mode.*", "ignore:.*val_dataloader.*", "ignore:.*LeafSpec.*")
@pytest.mark.parametrize(("most", "share"), [(0.5, 0.5), (2.0, 1.0)])
def test_gradient_is_clipped_by_global_norm(
    model: LabelModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: float, share: float
):
    """most and share are of the gradient's own norm."""
    whole = gradients(model, tmp_path, 8)
    norm = float(torch.stack([g.norm() for g in whole.values()]).norm())
    monkeypatch.setattr("labelgen.training.module.MAX_NORM", most * norm)
    stepped = gradients(model, tmp_path, 8, when=SteppedBy)
    for name, gradient in whole.items():
        torch.testing.assert_close(stepped[name], share * gradient, rtol=1e-3, atol=1e-6)


def test_learning_rate_warms_up_and_decays(model: LabelModel):
    module = TrainingModule(model, OptimizerOptions(), 1000, 0)
    rates = [module.rate_at(step) for step in range(1000)]
    peak = rates.index(max(rates))
    assert 58 <= peak <= 60
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] < 0.1
    assert 0 < rates[-1] < 0.02


def test_optimizer_parameter_groups(model: LabelModel):
    options = OptimizerOptions(learning_rate=0.5, encoder_learning_rate=0.25, weight_decay=0.125)
    configured: Any = TrainingModule(model, options, 10, 0).configure_optimizers()
    names = {id(p): (n, p) for n, p in model.named_parameters()}
    seen = []
    for group in configured["optimizer"].param_groups:
        for parameter in group["params"]:
            name, p = names[id(parameter)]
            seen.append(name)
            assert group["initial_lr"] == (0.25 if name.startswith("turn_encoder.") else 0.5)
            assert group["weight_decay"] == (0.0 if p.ndim < 2 else 0.125)
            if name.endswith("bias"):
                assert group["weight_decay"] == 0.0
    assert sorted(seen) == sorted(n for n, _ in names.values())


class WithoutTasks(nn.Linear):
    """Stands for a model."""

    tasks: Any = ()


def drawn(seed: int, share: float) -> list[bool]:
    module = TrainingModule(WithoutTasks(1, 1), OptimizerOptions(), 1, seed, share)  # type: ignore[arg-type]
    places = [(step, part) for step in range(200) for part in range(2)]
    return [module._is_online(StepPart(step, part, part == 1, 0, ())) for step, part in places]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_is_kept_and_the_seed_alone_decides(share: float):
    found = drawn(3, share)
    assert sum(found) / len(found) == pytest.approx(share, abs=0.07)
    assert drawn(3, share) == found
    assert (drawn(4, share) == found) == (share in (0.0, 1.0))
