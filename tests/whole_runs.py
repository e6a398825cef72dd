"""Whole runs of training on a tiny encoder: their options, how they break off, and what they leave."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from labelgen.training.module import TrainingModule
from labelgen.training.options import FinetuneOptions
from labelgen.training.tracking import read_metrics

TIMED = ("turns_per_s", "tokens_per_s", "peak_memory_gib", "elapsed_s")


class BrokenOffError(Exception):
    """Stands for a kill."""


def common(log: Path, encoder: Path, out: str, *more: str) -> list[str]:
    """The words of a small training; more: others, which take the place of these."""
    words = [
        f"--out={log.parents[1] / out}",
        f"--data.train=[{log}]",
        f"--model.encoder={encoder}",
        "--model.dialogue_width=32",
        "--model.dialogue_layers=1",
        "--model.dialogue_heads=2",
        "--tasks={goals: {}, outcome: {}, quality: {weight: 0.5}, intents: {}, slots: {}}",
        "--batch.turns=32",
        "--batch.accumulate=2",
        "--batch.online_share=0.5",
        "--length.max_epochs=2",
        "--tracking.wandb=off",
        "--tracking.log_every=2",
        "--tracking.checkpoint_every=1",
        "--hardware.accelerator=cpu",
    ]
    keys = {word.partition("=")[0] for word in more}
    return [*(word for word in words if word.partition("=")[0] not in keys), *more]


def break_off_at(monkeypatch: pytest.MonkeyPatch, call: int, error: Exception | None = None) -> None:
    """Training breaks off in the batch of that number, counted from 0 and over sittings."""
    whole, calls = TrainingModule.training_step, iter(range(10_000))

    def step(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        if next(calls) == call:
            raise error or BrokenOffError
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", step)


def rows(options: FinetuneOptions) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in row.items() if k not in TIMED} for row in read_metrics(Path(options.out) / "metrics.jsonl")
    ]


def digest(options: FinetuneOptions) -> dict[str, str]:
    """Of every file of the model but the card, which names the folder of the run."""
    held = msgspec.json.decode((Path(options.out) / "model" / "digests.json").read_bytes(), type=dict[str, str])
    return {name: value for name, value in held.items() if name != "card.json"}
