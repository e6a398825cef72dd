"""A step never waits for its device: it runs on torch's device without data, whose values nobody can read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from labeled import LABELS, every_target, labeled_dialogue
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from labelgen.features.layout import Batch, SoundTensors
from labelgen.features.voice import voice_width
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions
from labelgen.training.loader import StepBatch
from labelgen.training.module import TrainingModule
from labelgen.training.options import OptimizerOptions
from labelgen.training.sampler import StepPart
from labelgen.training.tracking import Recorder

DIALOGUES = [labeled_dialogue(seed) for seed in range(8)]
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
MODELS: dict[str, dict[str, TaskOptions]] = {
    "every task": {
        name: TaskOptions() for name in ("goals", "outcome", "quality", "intents", "slots", "order", "selection")
    },
    "parts": {
        "goals": TaskOptions(),
        "outcome": TaskOptions(),
        "quality": TaskOptions(),
    },
    "pairs": {"goals": TaskOptions(pairs=True, antecedents="any")},
}


class NoSynchronization(TorchDispatchMode):
    """Refuses what waits for the device: blocking copies and mixed operands. Reading values is refused by the device itself."""

    def __init__(self) -> None:
        super().__init__()
        self.copies_to_host = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        kinds = {x.device.type for x in tensors} | {torch.device(kwargs.get("device") or "meta").type}
        if func in COPIES and kinds == {"cpu", "meta"}:
            assert kwargs.get("non_blocking") or args[2:] == (True,), f"{func} blocks"
            if torch.device(kwargs["device"]).type == "cpu":
                self.copies_to_host += 1
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        elif any(x.device.type == "meta" for x in tensors):
            # A number of the host is an argument of a kernel.
            assert not any(x.device.type == "cpu" and x.dim() for x in tensors), f"{func} copies an operand"
        return func(*args, **kwargs)


def model_of(encoder: Path, tasks: dict[str, TaskOptions], **options: Any) -> LabelModel:
    sizes = {"dialogue_width": 32, "dialogue_layers": 1, "dialogue_heads": 2, "words": 40}
    model = build_model(ModelOptions(encoder=str(encoder), **{**sizes, **options}), tasks, LABELS, DIALOGUES)
    return model.train()


def batch_of(model: LabelModel, turns: int) -> Batch:
    return model.collator()([Example(d, every_target(d)) for d in DIALOGUES if len(d.turns) <= turns])


def step_batch(batch: Batch, part: int) -> StepBatch:
    return StepBatch(batch, StepPart(0, part, False, 0, tuple(range(8))), batch.target_weights)


def training(model: LabelModel) -> tuple[TrainingModule, Any]:
    module = TrainingModule(model, OptimizerOptions(), 10, 0)
    strategy = SingleDeviceStrategy(device=torch.device("meta"))
    trainer: Any = SimpleNamespace(world_size=1, accumulate_grad_batches=2, strategy=strategy, global_step=0)
    module.trainer = trainer
    return module, trainer


@pytest.mark.parametrize("tasks", MODELS)
def test_training_step_any_model_waits_for_no_device(tiny_encoder: Path, tasks: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labelgen.model.label_model.REFRESH_STEPS", 1)
    model = model_of(tiny_encoder, MODELS[tasks], sound=tasks == "every task")
    batches = [batch_of(model, turns) for turns in (6, 3)]
    if model.sound is not None:
        width = voice_width(model.sound)
        voices = SoundTensors(torch.rand(3, width), torch.rand(3, width), torch.tensor([0, 2, 1]))
        batches = [Batch(**{**vars(batch), "sound": voices}) for batch in batches]
    model.losses(batches[0])  # counts passes on the host from here on
    module, trainer = training(model)
    module.to("meta")
    recorder = Recorder(None, 10, 10)
    with NoSynchronization() as mode:
        for k, batch in enumerate(batches):
            placed = step_batch(batch, k).to("meta")
            out = module.training_step(placed, k)
            out["loss"].backward()
            module.configure_gradient_clipping(None)  # type: ignore[arg-type]
            recorder.on_train_batch_end(trainer, module, out, placed, k)
    # Losses and counts of each batch, read a batch later.
    assert mode.copies_to_host == 4
    assert set(out["sums"]) == set(MODELS[tasks])
    assert all(p.grad is not None for p in model.turn_encoder.parameters())


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("tasks", MODELS)
def test_training_step_on_gpu_waits_for_no_device(tiny_encoder: Path, tasks: str):
    model = model_of(tiny_encoder, MODELS[tasks])
    batch = batch_of(model, 6)
    model.losses(batch)
    module, _ = training(model)
    module.to("cuda")
    placed = step_batch(batch, 0).to("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.autocast("cuda", torch.bfloat16):
            module.training_step(placed, 0)["loss"].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(p.grad is not None for p in model.turn_encoder.parameters())
