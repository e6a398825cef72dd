"""The prepared encoder computes what transformers computes, and a passage's bits depend on the passage alone."""

from typing import Any

import pytest
import torch

from labelgen.nn.turn_encoder import TurnEncoder
from labelgen.tensors import prepared
from labelgen.tensors.prepared import PreparedEncoder, can_prepare
from labelgen.tensors.pretrained import load_encoder

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
def test_states_are_those_of_transformers(encoder):
    own = groups((3, 4), (1, 7), (5, 2), (2, 40))
    found = precise(torch.float32, encoder)(own)
    for ids, states in zip(own, found, strict=True):
        torch.testing.assert_close(states, encoder(ids).last_hidden_state, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("precision", BOTH)
def test_company_and_size_of_batches_change_no_bit(encoder, precision, monkeypatch):
    ready = precise(precision, encoder)
    own = groups((4, 2), (7, 3), (33, 5), (70, 9), (21, 14), (5, 40), (1, 100))
    together = ready(own)
    for tokens in (1, 64, 333, 100_000):
        monkeypatch.setattr(prepared, "TOKENS", tokens)
        assert all(torch.equal(a, b) for a, b in zip(together, ready(own), strict=True))
    for ids, states in zip(own, together, strict=True):
        order = torch.randperm(len(ids))
        assert torch.equal(ready([ids[order]])[0], states[order])


@torch.no_grad()
@pytest.mark.parametrize("precision", BOTH)
def test_no_token_is_added_and_none_stands_in_a_very_small_batch(encoder, precision, monkeypatch):
    """Padding waste is 0: what passes the layers is what came in, in batches near the budget."""
    ready = precise(precision, encoder)
    monkeypatch.setattr(prepared, "TOKENS", 64)
    seen: list[int] = []
    rows = ready._rows

    def counted(parts):
        seen.append(sum(ids.numel() for ids in parts))
        return rows(parts)

    monkeypatch.setattr(ready, "_rows", counted)
    own = groups((40, 3), (30, 7), (9, 11), (2, 70))
    ready(own)
    assert sum(seen) == sum(ids.numel() for ids in own)
    assert max(seen) <= 70
    monkeypatch.setattr(prepared, "TOKENS", 1)
    seen.clear()
    ready(groups((9, 2), (3, 3), (1, 12), (1, 3)))
    assert sum(seen) == 42
    assert min(seen) >= 8


def test_products_meet_few_numbers_of_rows(encoder, monkeypatch):
    """However many tokens there are; the rows that fill up a batch are not given back."""
    ready = precise(torch.float32, encoder)
    met: set[int] = set()
    product = prepared._Product.__call__

    def counted(self, rows):
        met.add(len(rows))
        return product(self, rows)

    monkeypatch.setattr(prepared._Product, "__call__", counted)
    monkeypatch.setattr(prepared, "TOKENS", 3 * prepared.STEP)
    for count in range(1, 100, 7):
        own = groups((count, 5), (count, 9))
        assert [states.shape[:2] for states in ready(own)] == [ids.shape for ids in own]
    assert met == {prepared.STEP, 2 * prepared.STEP, 3 * prepared.STEP}


def test_training_goes_on_with_the_weights_that_learn(tiny_encoder, encoder):
    turn = TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()
    turn.prepare(torch.float32)
    ids = groups((4, 6))
    with torch.no_grad():
        before = turn.states(ids)[0]
        turn.train().encoder.embeddings.word_embeddings.weight.mul_(2.0)
        after = turn.eval().states(ids)[0]
    assert not torch.allclose(before, after, atol=1e-3)


def test_where_a_row_depends_on_how_many_there_are_nothing_is_prepared(encoder, monkeypatch):
    if not can_prepare(encoder, torch.float32):
        pytest.skip("it does here")
    product = prepared._Product.added

    def by_number(self, rows, to):
        return product(self, rows, to) + (1e-7 if len(rows) < 1000 else 0.0)

    monkeypatch.setattr(prepared._Product, "added", by_number)
    prepared._keeps_bits.cache_clear()
    try:
        assert not can_prepare(encoder, torch.float32)
    finally:
        prepared._keeps_bits.cache_clear()


def test_an_architecture_that_is_not_known_is_left_alone(encoder):
    encoder.config.model_type = "another"
    turn = TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()
    assert not can_prepare(encoder, torch.float32)
    turn.prepare(torch.float32)
    with torch.no_grad():
        assert turn.states(groups((2, 5)))[0].shape == (2, 5, turn.width)
