"""The text encoder by ONNX Runtime: vectors of transformers in fp32, near ones in 8 bits, and none that depend on the batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_kinds import random_encoder
from torch import Tensor

from labelgen.nn.turn_encoder import TurnEncoder

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
LENGTHS = (2, 3, 9, 17, 40)


@pytest.fixture(params=["bert", "roberta"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> TurnEncoder:
    made: Any = random_encoder(request.param, tmp_path)
    return TurnEncoder(made, made.config.hidden_size, frozen=False).eval()


def groups() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [
        torch.randint(3, 60, (count, length), generator=draw)
        for count, length in zip((9, 3, 1, 4, 2), LENGTHS, strict=True)
    ]


def error(states: list[Tensor], expected: list[Tensor]) -> float:
    """Largest relative error of a pooled vector."""
    pairs = [(a.mean(1), b.mean(1)) for a, b in zip(states, expected, strict=True)]
    return max(float(((a - b).norm(dim=1) / b.norm(dim=1)).max()) for a, b in pairs)


@pytest.mark.parametrize(("int8", "tolerance"), [(False, 1e-5), (True, 0.05)])
def test_states_are_those_of_transformers(encoder: TurnEncoder, int8: bool, tolerance: float):
    with torch.inference_mode():
        expected = encoder.states(groups())
        encoder.use_onnx(int8)
        states = encoder.states(groups())
    assert [x.shape for x in states] == [x.shape for x in expected]
    assert error(states, expected) < tolerance
    assert not torch.equal(states[0], expected[0])


@pytest.mark.parametrize("int8", [False, True])
def test_states_alone_are_those_in_a_batch(encoder: TurnEncoder, int8: bool):
    """A scale for a whole batch would move them by several percent."""
    encoder.use_onnx(int8)
    with torch.inference_mode():
        together = encoder.states(groups())
        alone = [torch.cat([encoder.states([row[None]])[0] for row in ids]) for ids in groups()]
    assert error(together, alone) < (0.02 if int8 else 1e-5)


def test_training_undoes_it(encoder: TurnEncoder):
    with torch.no_grad():
        expected = encoder.states(groups())
        encoder.use_onnx(int8=True)
        encoder.train().eval()
        assert all(map(torch.equal, encoder.states(groups()), expected))
