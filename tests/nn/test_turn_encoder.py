"""Passages padded to batches are encoded as each alone would be; gradients agree too.

FastDropout is dropout: how often it drops, what it keeps, its gradient, and that a seed says all."""

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgen.features.layout import Passages
from labelgen.features.pretrained import load_encoder
from labelgen.nn import turn_encoder
from labelgen.nn.turn_encoder import EmbeddingCache, FastDropout, TurnEncoder, pool_texts

LENGTHS = [(3, 4), (1, 7), (5, 2), (2, 40)]


def of_groups(groups: Sequence[torch.Tensor], request: torch.Tensor, response: torch.Tensor) -> Passages:
    ids = torch.cat([group.flatten() for group in groups])
    return Passages(ids, tuple((len(g), g.shape[1]) for g in groups), request, response, torch.zeros(0).long())


def passages() -> Passages:
    groups = tuple(torch.randint(5, 60, shape) for shape in LENGTHS)
    none = torch.zeros(0, dtype=torch.long)
    return of_groups(groups, none, none)


@pytest.fixture
def encoder(tiny_encoder) -> TurnEncoder:
    made: Any = load_encoder(str(tiny_encoder), attention_dropout=0.0)
    return TurnEncoder(made, made.config.hidden_size, frozen=False).eval()


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 60)), min_size=1, max_size=6),
    st.integers(1, 200) | st.just(sys.maxsize),
)
def test_batches_have_every_passage_once_and_bounded_size(shapes: list[tuple[int, int]], most: int):
    shapes = sorted(shapes, key=lambda shape: shape[1])
    batches = turn_encoder._batches(shapes, most)
    rows = [(k, row) for batch in batches for k, run in batch for row in range(run.start, run.stop)]
    assert rows == [(k, row) for k, (count, _) in enumerate(shapes) for row in range(count)]
    for batch in batches:
        count = sum(run.stop - run.start for _, run in batch)
        assert count == 1 or count * max(shapes[k][1] for k, _ in batch) <= most


@given(st.lists(st.sets(st.integers(0, 10), min_size=1), min_size=2, max_size=4))
def test_embedding_cache_any_batch_gives_bitwise_identical_vectors(tiny_encoder, parts: list[set[int]]):
    made: Any = load_encoder(str(tiny_encoder))
    none = torch.zeros(0, dtype=torch.long)
    torch.manual_seed(0)
    every = [row for shape in LENGTHS for row in torch.randint(5, 60, shape)]
    shapes: dict[int, set[int]] = {}
    made.register_forward_pre_hook(
        lambda _, a, k: shapes.setdefault(k["input_ids"].shape[1], set()).add(len(k["input_ids"])),
        with_kwargs=True,
    )
    vectors: dict[int, torch.Tensor] = {}
    for part in [set(range(len(every))), *parts]:
        frozen = TurnEncoder(made, made.config.hidden_size, frozen=True).train()
        frozen.embedding_cache = EmbeddingCache()
        chosen = sorted(part, key=lambda k: len(every[k]))
        by_length = [list(rows) for _, rows in groupby(chosen, key=lambda k: len(every[k]))]
        groups = [torch.stack([every[k] for k in rows]) for rows in by_length]
        pooled, _ = frozen(of_groups(groups, none, none), with_tokens=False)
        for k, vector in zip([k for rows in by_length for k in rows], pooled, strict=True):
            assert torch.equal(vectors.setdefault(k, vector), vector)
    assert all(len(counts) == 1 for counts in shapes.values())


@pytest.mark.parametrize("most_bytes", [0, 2_000, 2**20])
def test_embedding_cache_any_size_gives_same_states(tiny_encoder, most_bytes):
    made: Any = load_encoder(str(tiny_encoder))
    frozen = TurnEncoder(made, made.config.hidden_size, frozen=True).train()
    frozen.embedding_cache = EmbeddingCache(most_bytes)
    groups = passages().groups
    few = of_groups(groups[1:3], torch.tensor([0, 3]), torch.tensor([1, 2]))
    whole = of_groups(groups, torch.tensor([0, 4, 10]), torch.tensor([1, 2, 3]))
    with torch.no_grad():
        states = frozen.states(groups)
    lengths = torch.tensor([ids.shape[1] for ids in groups for _ in ids])
    read = torch.repeat_interleave(torch.isin(torch.arange(len(lengths)), whole.request), lengths)
    calls = []
    made.register_forward_hook(lambda *_: calls.append(1))
    for own in (few, whole, few, whole):
        calls.clear()
        pooled, tokens = frozen(own, with_tokens=True)
    assert tokens is not None
    assert bool(calls) == (most_bytes < 2**20)
    torch.testing.assert_close(pooled, torch.cat([x.mean(dim=1) for x in states]), rtol=1e-5, atol=1e-6)
    expected = torch.cat([x.reshape(-1, frozen.width) for x in states])
    torch.testing.assert_close(tokens[read], expected[read], rtol=1e-5, atol=1e-6)
    assert not tokens.requires_grad


def test_pool_texts_any_batch_is_the_same(encoder):
    texts = [(1, 5, 2), (1, 6, 7, 2), (1, 9, 2)]
    together = pool_texts(encoder, texts)
    for row, text in zip(together, texts, strict=True):
        torch.testing.assert_close(row, pool_texts(encoder, [text])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.9])
def test_fast_dropout_any_position_drops_with_probability(p: float):
    torch.manual_seed(0)
    count = 200_000
    kept = (FastDropout(p)(torch.ones(count, 4)) != 0).double()
    # Six standard deviations of a share of so many.
    assert (kept.mean(dim=0) - (1 - p)).abs().max() < 6 * (p * (1 - p) / count) ** 0.5
    # Neighbors share random bits, and must not share their fate.
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 6 / count**0.5


@given(st.lists(st.integers(0, 7), max_size=3), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_fast_dropout_kept_values_and_gradient_are_scaled(shape: list[int], p: float):
    dropout = FastDropout(p)
    x = torch.rand(shape) + 1.0
    x.requires_grad_()
    out = dropout(x)
    kept = out != 0
    torch.testing.assert_close(out, torch.where(kept, x / (1 - p) if p < 1 else 0 * x, 0.0), rtol=1e-4, atol=0)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, kept)
