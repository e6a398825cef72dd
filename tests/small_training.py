"""What tests of scripts train on and with: logs of labeled dialogues, and trainings that take a moment."""

from collections.abc import Iterable
from pathlib import Path

from labeled import LABELS, labeled_dialogue

from labelgen.cli.main import main
from labelgen.data.log import write_log

CONFIGS = Path(__file__).parents[1] / "configs"
PRETRAINING = ("goals_from_splices", "pretrain", "pretrain_frozen")
"""Configs that are given to `pretrain`."""
SMALL = ["--model={dialogue_width: 32, dialogue_layers: 1, dialogue_heads: 2}", "--length.steps=1"]


def labeled_log(path: Path, seeds: Iterable[int], turns: int | None = None) -> Path:
    """A log of the labeled dialogue of each seed; gives its path back."""
    write_log(path, [labeled_dialogue(seed, turns) for seed in seeds], LABELS)
    return path


def pretrained(log: Path, encoder: Path, out: Path, config: str = "pretrain") -> Path:
    """The folder of a model that was pretrained for a step."""
    words = [f"--config={CONFIGS / name}.yaml" for name in ("public_cpu", config)]
    words += [f"--data.train=[{log}]", f"--out={out}", f"--model.encoder={encoder}", *SMALL, "--tracking.wandb=off"]
    assert main(["pretrain", *words]) == 0
    return out / "model"
