"""Models whose weights are drawn, not trained, and that give labels of all tasks."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from labeled import LABELS, labeled_dialogue

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Answers
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.structure import LabelScorer
from labelgen.tasks import TASKS, TaskOptions


def perturb(module: torch.nn.Module, scale: float = 0.1) -> None:
    """Add noise to all parameters: parts that start at zero then have an effect."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))


def assert_same_in_any_batch(annotator: Annotator, dialogues: Sequence[Dialogue]) -> None:
    """A dialogue gets the same labels alone, with all others, and in another order, with the same probabilities but for rounding."""
    together = annotator.annotate(dialogues)
    backwards = annotator.annotate(dialogues[::-1])[::-1]
    alone = [annotator.annotate([dialogue])[0] for dialogue in dialogues]
    for other in (backwards, alone):
        for one, two in zip(together, other, strict=True):
            assert_alike(one.answers, two.answers)


def assert_alike(ours: Answers, theirs: Answers) -> None:
    """The same answers at the same places, with probabilities that are equal but for rounding."""
    assert [(x.task, x.at, getattr(x, "name", None)) for x in ours] == [
        (x.task, x.at, getattr(x, "name", None)) for x in theirs
    ]
    assert [x.probability for x in ours] == pytest.approx([x.probability for x in theirs], rel=1e-4, abs=1e-5)


def random_model(tiny_encoder: Path, layers: int, band: int) -> LabelModel:
    """Of all tasks; its dialogue encoder adds something, and it gives labels of all tasks."""
    torch.manual_seed(10 + layers)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=layers)
    seen = [labeled_dialogue(seed) for seed in range(8)]
    model = build_model(options, {name: TaskOptions() for name in TASKS}, LABELS, seen).eval()
    model.dialogue_encoder.band = band
    perturb(model.dialogue_encoder, 0.2)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, LabelScorer):
                part.bias.fill_(1.0)
    return model
