"""Embedding caches encode a repeated passage once, and cached states equal fresh ones."""

from collections import Counter
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labeled import labeled_dialogue

from labelgen.kernels.prepared import can_prepare
from labelgen.nn import embedding_cache
from labelgen.nn.embedding_cache import TokenStateCache


class Counted:
    """An encoder that counts how often it is asked for each passage."""

    def __init__(self) -> None:
        self.times: dict[tuple[int, ...], int] = {}

    def __call__(self, groups):
        for row in (tuple(row) for ids in groups for row in ids.tolist()):
            self.times[row] = self.times.get(row, 0) + 1
        return [(ids[..., None] * torch.arange(1.0, 4.0)).sin() for ids in groups]


def log(seed: int, calls: int) -> list[list[torch.Tensor]]:
    """Some batches of groups, distinct within a batch as group_passages has them."""
    torch.manual_seed(seed)
    return [[torch.randint(0, 4, (6, length)).unique(dim=0) for length in (1, 2, 3)] for _ in range(calls)]


def occurrences(batches: list[list[torch.Tensor]]) -> list[tuple[int, ...]]:
    return [tuple(row) for groups in batches for ids in groups for row in ids.tolist()]


def test_state_cache_repeated_passages_are_encoded_once():
    encode, plain, cache = Counted(), Counted(), TokenStateCache()
    batches = log(0, 8)
    cache.expect(occurrences(batches))
    for groups in batches:
        for one, two in zip(cache.states(groups, encode), plain(groups), strict=True):
            assert torch.equal(one, two)
    assert set(encode.times.values()) == {1}
    assert max(plain.times.values()) > 1
    assert cache.encoded_tokens == sum(len(ids) for ids in set(occurrences(batches)))


def test_state_cache_next_shard_reuses_states_within_bound(monkeypatch):
    encode, cache = Counted(), TokenStateCache()
    for bound, again in ((1_000, False), (0, True)):
        monkeypatch.setattr(embedding_cache, "MAX_TOKENS", bound)
        encode.times.clear()
        for _ in range(2):
            batches = log(1, 4)
            cache.expect([])  # another shard without these passages
            assert cache.cached_tokens <= bound
            cache.expect(occurrences(batches))
            for groups in batches:
                cache.states(groups, encode)
        repeated = [ids for ids in set(occurrences(batches)) if occurrences(batches).count(ids) > 1]
        if again:
            assert all(encode.times[ids] == 2 for ids in repeated)
        else:
            assert all(encode.times[ids] == 1 for ids in repeated)


passages = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple)
shards = st.lists(st.lists(st.sets(passages, min_size=1, max_size=8), max_size=5), min_size=1, max_size=4)


@given(shards, st.integers(0, 20))
def test_state_cache_any_log_keeps_states_and_bound(shards, bound):
    """A shard is a list of batches. At any time no more is held than the bound, or than what was announced where that is
    more; and what was announced is encoded once in its shard."""
    encode, plain, cache = Counted(), Counted(), TokenStateCache()
    with mock.patch.object(embedding_cache, "MAX_TOKENS", bound):
        for shard in shards:
            batches = [by_length(passages) for passages in shard]
            cache.expect(occurrences(batches))
            announced = {ids for ids, count in Counter(occurrences(batches)).items() if count > 1}
            encode.times.clear()
            for groups in batches:
                for one, two in zip(cache.states(groups, encode), plain(groups), strict=True):
                    assert torch.equal(one, two)
                assert cache.cached_tokens <= max(bound, sum(map(len, announced)))
            assert all(encode.times.get(ids, 0) <= 1 for ids in announced)


@given(shards, st.integers(0, 20))
def test_state_cache_prefetched_passages_are_not_encoded_again(shards, bound):
    """A shard is a list of runs, and each of its passages a batch of its own."""
    encode, plain, cache = Counted(), Counted(), TokenStateCache()
    with mock.patch.object(embedding_cache, "MAX_TOKENS", bound):
        for shard in shards:
            announced = {ids for ids, count in Counter(ids for run in shard for ids in run).items() if count > 1}
            cache.expect(ids for run in shard for ids in run)
            for run in shard:
                cache.prefetch(sorted(run), encode)
                encode.times.clear()
                for ids in run:
                    groups = [torch.tensor([ids])]
                    (states,) = cache.states(groups, encode)
                    assert torch.equal(states, plain(groups)[0])
                assert encode.times == {}
                assert cache.cached_tokens <= max(bound, sum(map(len, announced | run)))


def by_length(passages: set[tuple[int, ...]]) -> list[torch.Tensor]:
    lengths = sorted({len(ids) for ids in passages})
    return [torch.tensor(sorted(ids for ids in passages if len(ids) == length)) for length in lengths]


def test_state_cache_long_log_reuses_one_storage(monkeypatch):
    """However long the log, states lie in the same cache."""
    monkeypatch.setattr(embedding_cache, "MAX_TOKENS", 12)
    cache, places = TokenStateCache(), set()
    for n in range(0, 300, 3):
        groups = [torch.tensor([[n, n], [n + 1, n], [n + 2, n]])]
        cache.expect(2 * occurrences([groups]))
        cache.states(groups, Counted())
        assert cache._storage is not None
        places.add(cache._storage.data_ptr())
    assert len(places) == 1
    assert cache._storage is not None
    assert cache._storage.shape == (12, 3)


def test_state_cache_filled_in_inference_mode_serves_any_mode():
    encode, cache = Counted(), TokenStateCache()
    first, second = [torch.tensor([[1, 2]])], [torch.tensor([[1, 2], [3, 4]])]
    for mode, groups in ((torch.inference_mode, first), (torch.no_grad, second)):
        cache.expect(2 * occurrences([groups]))
        with mode():
            (states,) = cache.states(groups, encode)
        assert torch.equal(states, Counted()(groups)[0])
    assert encode.times == {(1, 2): 1, (3, 4): 1}


def test_annotator_shard_with_repeats_encodes_each_text_once(tiny_encoder, tmp_path, monkeypatch):
    from labeled import LABELS

    from labelgen.model import annotate
    from labelgen.model.annotator import Annotator
    from labelgen.model.build import build_model
    from labelgen.model.folder import save_model
    from labelgen.model.options import ModelOptions
    from labelgen.tasks.options import TaskOptions

    monkeypatch.setattr(annotate, "WINDOW", 8)
    dialogues = [labeled_dialogue(seed) for seed in range(40)]
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    save_model(build_model(options, {"slots": TaskOptions()}, LABELS, dialogues), tmp_path / "m", {})
    annotator = Annotator(tmp_path / "m")
    if not can_prepare(annotator.model.turn_encoder.encoder, torch.float32):
        pytest.skip("labeling has no kernels of its own for this CPU")
    annotator.annotate(dialogues)
    texts = [text for d in dialogues for turn in d.turns for text in (turn.request, turn.response)]
    distinct = {tokens.ids for tokens in annotator.collator.tokenizer(texts)}
    assert len(distinct) < len(texts)
    assert annotator.model.turn_encoder.state_cache.encoded_tokens == sum(map(len, distinct))
