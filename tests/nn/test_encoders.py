"""The law of encoders: every accepted architecture gives the vectors of transformers' eager attention at every length."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from encoder_kinds import ENCODERS, SIZES, random_encoder

from labelgen.base.errors import UsageError
from labelgen.nn import turn_encoder
from labelgen.nn.turn_encoder import TurnEncoder, check_encoder

LENGTHS = (16, 65, 66, 128, 300, 512)
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 97}


@pytest.fixture
def make(tmp_path) -> Callable[..., TurnEncoder]:
    def of(kind: str, **fields: Any) -> TurnEncoder:
        encoder = random_encoder(kind, tmp_path / kind, **fields)
        return TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()

    return of


def ids_of(length: int, count: int = 2) -> torch.Tensor:
    return torch.randint(5, 97, (count, length))


def eager(encoder: TurnEncoder, groups: list[torch.Tensor]) -> list[torch.Tensor]:
    """With gradient: each group by transformers alone."""
    own = encoder.encoder.config._attn_implementation
    encoder.encoder.set_attn_implementation("eager")
    states = [encoder.encoder(input_ids=ids).last_hidden_state for ids in groups]
    encoder.encoder.set_attn_implementation(own)
    return states


def gradients(encoder: TurnEncoder, states: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a mean of the states in which each has a weight of its own."""
    encoder.zero_grad()
    parts = [(x * torch.linspace(-1.0, 1.0, x.numel()).view(x.shape)).mean() for x in states]
    torch.stack(parts).sum().backward()
    named = encoder.encoder.named_parameters()
    return {name: one.grad.clone() for name, one in named if one.grad is not None and "pooler" not in name}


def assert_equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> None:
    for own, other in zip(one, two, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoder_any_length_equals_eager_attention(make, kind: str):
    """All lengths together: without gradient and alone."""
    encoder = make(kind)
    assert encoder.encoder.config.num_hidden_layers >= 4
    groups = [ids_of(length) for length in LENGTHS]
    with torch.no_grad():
        expected = eager(encoder, groups)
        assert_equal(encoder.states(groups), expected)
        assert_equal([encoder.states([ids])[0] for ids in groups], expected)


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoder_in_training_equals_eager_attention(make, kind: str):
    """Vectors and gradients, without dropout."""
    encoder = make(kind)
    for part in encoder.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    encoder.train()
    groups = [ids_of(length, count) for length, count in zip(LENGTHS, (3, 1, 2, 1, 2, 1), strict=True)]
    expected = eager(encoder, groups)
    states = encoder.states(groups)
    assert_equal(states, expected)
    own, others = gradients(encoder, states), gradients(encoder, expected)
    assert own.keys() == others.keys()
    for name, gradient in others.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()) + 1e-7)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 97}, "is a decoder"),
        ("llama", {**SIZES, "num_key_value_heads": 2, "head_dim": 16}, "is a decoder"),
        ("bert", {"is_decoder": True}, "is a decoder"),
        ("t5", _T5, "with a decoder"),
    ],
)
def test_check_encoder_decoder_is_refused_by_name(make, kind: str, fields: dict[str, Any], message: str):
    encoder = make(kind, **fields)
    with pytest.raises(UsageError, match=rf"some/encoder \({kind}\).*{message}"):
        check_encoder(encoder, "some/encoder", 64)


def test_check_encoder_other_vectors_is_refused(make, monkeypatch: pytest.MonkeyPatch):
    """A short passage that attends to its padding."""
    monkeypatch.setattr(turn_encoder, "_mask", lambda parts: None)
    encoder = make("roberta")
    with pytest.raises(UsageError, match=r"other vectors of 16 tokens than transformers with some/encoder \(roberta\)"):
        check_encoder(encoder, "some/encoder", 66)
