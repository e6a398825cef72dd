"""The prepared encoder computes what transformers computes, and a passage's bits depend on the passage alone."""

from typing import Any

import pytest
import torch

from labelgen.features.pretrained import load_encoder
from labelgen.kernels import prepared
from labelgen.kernels.prepared import PreparedEncoder, can_prepare
from labelgen.nn.turn_encoder import TurnEncoder

BOTH = [torch.float32, torch.bfloat16]


@pytest.fixture
def encoder(tiny_encoder) -> Any:
    return load_encoder(str(tiny_encoder), attention_dropout=0.0).eval()


def groups(*shapes: tuple[int, int]) -> list[torch.Tensor]:
    return [torch.randint(5, 60, shape) for shape in shapes]


def precise(precision: torch.dtype, encoder: Any) -> PreparedEncoder:
    if not can_prepare(encoder, precision):
        pytest.skip(f"this CPU's oneDNN has no {precision}")
    return PreparedEncoder(encoder, precision)


@torch.no_grad()
def test_prepared_encoder_states_equal_transformers(encoder):
    own = groups((3, 4), (1, 7), (5, 2), (2, 40))
    found = precise(torch.float32, encoder)(own)
    for ids, states in zip(own, found, strict=True):
        torch.testing.assert_close(states, encoder(ids).last_hidden_state, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("precision", BOTH)
def test_prepared_encoder_any_batch_is_bitwise_identical(encoder, precision):
    ready = precise(precision, encoder)
    own = groups((4, 2), (7, 3), (133, 5), (70, 9), (21, 14), (5, 40), (1, 100))
    together = ready(own)
    for ids, states in zip(own, together, strict=True):
        order = torch.randperm(len(ids))
        assert torch.equal(ready([ids[order]])[0], states[order])
        assert torch.equal(ready([ids[-1:]])[0], states[-1:])
    backwards = ready(own[::-1])[::-1]
    assert all(torch.equal(one, two) for one, two in zip(backwards, together, strict=True))


@torch.no_grad()
def test_prepared_encoder_long_passage_is_bitwise_identical(encoder, monkeypatch):
    monkeypatch.setattr(prepared, "TOKENS", 64)
    ready = precise(torch.float32, encoder)
    own = groups((9, 3), (2, 70), (1, 100), (5, 4))
    for ids, states in zip(own, ready(own), strict=True):
        assert torch.equal(ready([ids[:1]])[0], states[:1])


@torch.no_grad()
def test_prepared_encoder_batches_hold_whole_passages(encoder, monkeypatch):
    monkeypatch.setattr(prepared, "TOKENS", 64)
    ready = precise(torch.float32, encoder)
    seen: list[int] = []
    rows = ready._rows

    def counted(parts):
        seen.append(sum(ids.numel() for ids in parts))
        return rows(parts)

    monkeypatch.setattr(ready, "_rows", counted)
    own = groups((40, 3), (30, 7), (9, 11), (2, 70))
    assert [states.shape[:2] for states in ready(own)] == [ids.shape for ids in own]
    assert sum(seen) == sum(ids.numel() for ids in own)
    assert min(seen[:-3]) > 64 - 11


def test_turn_encoder_trained_after_prepare_uses_new_weights(tiny_encoder, encoder):
    turn = TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()
    turn.prepare(torch.float32)
    ids = groups((4, 6))
    with torch.no_grad():
        before = turn.states(ids)[0]
        turn.train().encoder.embeddings.word_embeddings.weight.mul_(2.0)
        after = turn.eval().states(ids)[0]
    assert not torch.allclose(before, after, atol=1e-3)


def test_turn_encoder_unknown_architecture_is_not_prepared(encoder):
    encoder.config.model_type = "another"
    turn = TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()
    assert not can_prepare(encoder, torch.float32)
    turn.prepare(torch.float32)
    with torch.no_grad():
        assert turn.states(groups((2, 5)))[0].shape == (2, 5, turn.width)
