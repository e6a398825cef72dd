"""Passages packed into one row are encoded as each alone would be, to the last bit; gradients agree too."""

from typing import Any

import pytest
import torch

from labelgen.nn.turn_encoder import TurnEncoder, pool_texts
from labelgen.tensors.layout import Passages
from labelgen.tensors.packed import PACKED
from labelgen.tensors.pretrained import load_encoder

LENGTHS = [(3, 4), (1, 7), (5, 2), (2, 40)]


def passages() -> Passages:
    groups = tuple(torch.randint(5, 60, shape) for shape in LENGTHS)
    none = torch.zeros(0, dtype=torch.long)
    return Passages(groups, none, none, none)


@pytest.fixture
def encoder(tiny_encoder) -> TurnEncoder:
    made: Any = load_encoder(str(tiny_encoder), attention_dropout=0.0)
    encoder = TurnEncoder(made, made.config.hidden_size, frozen=False).eval()
    assert made.config._attn_implementation == PACKED
    return encoder


def test_packed_is_each_group_alone(encoder):
    own = passages()
    with torch.no_grad():
        packed = encoder.states(own.groups)
        alone = [encoder.states([ids])[0] for ids in own.groups]
        encoder.encoder.set_attn_implementation("sdpa")
        apart = encoder.states(own.groups)
    for one, two, three in zip(packed, alone, apart, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, three, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_the_groups(encoder):
    own = passages()
    gradients = []
    for implementation in (PACKED, "sdpa"):
        encoder.encoder.set_attn_implementation(implementation)
        encoder.zero_grad()
        pooled, tokens = encoder(own, with_tokens=True)
        (pooled.square().sum() + tokens.square().sum()).backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_frozen_vectors_are_remembered(tiny_encoder):
    made: Any = load_encoder(str(tiny_encoder))
    frozen = TurnEncoder(made, made.config.hidden_size, frozen=True).train()
    calls = []
    made.register_forward_hook(lambda *_: calls.append(1))
    own = passages()
    first, _ = frozen(own, with_tokens=False)
    count = len(calls)
    second, _ = frozen(own, with_tokens=False)
    assert count > 0
    assert len(calls) == count
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_texts_are_pooled_alone(encoder):
    texts = [(1, 5, 2), (1, 6, 7, 2), (1, 9, 2)]
    together = pool_texts(encoder, texts)
    for row, text in zip(together, texts, strict=True):
        assert torch.equal(row, pool_texts(encoder, [text])[0])
