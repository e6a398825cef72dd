"""Models whose weights are drawn, not trained, and that give labels of all tasks."""

from pathlib import Path

import torch
from labeled import LABELS, labeled_dialogue

from labelgen.model.build import build_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.label_scorer import LabelScorer
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions


def random_model(tiny_encoder: Path, layers: int, band: int) -> LabelModel:
    """Of all tasks; its dialogue encoder adds something, and it gives labels of all tasks."""
    torch.manual_seed(layers)
    options = ModelOptions(
        encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=layers, dialogue_band=band
    )
    seen = [labeled_dialogue(seed) for seed in range(8)]
    model = build_model(options, {name: TaskOptions() for name in TASKS}, LABELS, seen).eval()
    with torch.no_grad():
        for parameter in model.dialogue_encoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for part in model.modules():
            if isinstance(part, LabelScorer):
                part.bias.fill_(1.0)
    return model
