"""The loss of targets that say what does not hold."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.labels import AtDialogue, Target
from labelgen.nn.structure import exclusive
from labelgen.tasks.exclusive import exclusive_rows

NAMES = ("bad", "good")
INDEX = {name: k for k, name in enumerate(NAMES)}


def nats(scores: list[float], *targets: Target) -> float:
    loss = exclusive(torch.tensor([scores]), exclusive_rows([targets], INDEX))
    return float(loss.total)


@given(st.floats(-3.0, 3.0))
def test_exclusive_loss_of_complement_is_log_of_remaining_probability(score: float) -> None:
    not_bad = Target("quality", AtDialogue(), None, ("bad",))
    p = 1.0 / (1.0 + math.exp(-score))
    assert nats([0.0, score], not_bad) == pytest.approx(-math.log(p), abs=1e-4)
    everything = Target("quality", AtDialogue(), None, NAMES)
    assert nats([0.0, score], everything) == 0.0
