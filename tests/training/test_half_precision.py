"""Training in fp16: losses are scaled, gradients are clipped at their true size, and steps that overflow are left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune
from labelgen.training.tracking import read_metrics

Options = Callable[..., FinetuneOptions]


def test_fp16_gives_losses_and_gradients_of_32_bits(options: Options):
    """By rounding. Without learning all steps are of the same weights; steps whose scaled gradients overflow have no norm."""
    found = []
    for precision in ("32", "16"):
        still = ("--optimizer.learning_rate=0", "--optimizer.encoder_learning_rate=0", "--tracking.log_every=1")
        chosen = options(precision, f"--hardware.precision={precision}", *still)
        finetune(chosen)
        found.append(read_metrics(Path(chosen.out) / "metrics.jsonl"))
    whole, half = found
    assert {row["gradient_norm"] is None for row in half} == {True, False}
    for one, two in zip(whole, half, strict=True):
        assert one["loss"] != two["loss"]
        for name in one:
            if "loss" in name or (name == "gradient_norm" and two[name] is not None):
                assert two[name] == pytest.approx(one[name], rel=0.02), name
