"""A passage that is said again is not encoded again, and nobody can tell from the states."""

from collections import Counter
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labeled import labeled_dialogue

from labelgen.kernels.prepared import can_prepare
from labelgen.nn import embedding_cache
from labelgen.nn.embedding_cache import PassageMemory


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


def said(batches: list[list[torch.Tensor]]) -> list[tuple[int, ...]]:
    return [tuple(row) for groups in batches for ids in groups for row in ids.tolist()]


def test_each_passage_is_encoded_once_and_as_it_is():
    encode, plain, memory = Counted(), Counted(), PassageMemory()
    batches = log(0, 8)
    memory.expect(said(batches))
    for groups in batches:
        for one, two in zip(memory.states(groups, encode), plain(groups), strict=True):
            assert torch.equal(one, two)
    assert set(encode.times.values()) == {1}
    assert max(plain.times.values()) > 1
    assert memory.encoded_tokens == sum(len(ids) for ids in set(said(batches)))


def test_the_next_shard_finds_what_is_kept_and_no_more_than_the_bound_is(monkeypatch):
    encode, memory = Counted(), PassageMemory()
    for bound, again in ((1_000, False), (0, True)):
        monkeypatch.setattr(embedding_cache, "MOST_TOKENS", bound)
        encode.times.clear()
        for _ in range(2):
            batches = log(1, 4)
            memory.expect([])  # another shard, in which none of them is said
            assert memory.held_tokens <= bound
            memory.expect(said(batches))
            for groups in batches:
                memory.states(groups, encode)
        repeated = [ids for ids in set(said(batches)) if said(batches).count(ids) > 1]
        if again:
            assert all(encode.times[ids] == 2 for ids in repeated)
        else:
            assert all(encode.times[ids] == 1 for ids in repeated)


passages = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple)
shards = st.lists(st.lists(st.sets(passages, min_size=1, max_size=8), max_size=5), min_size=1, max_size=4)


@given(shards, st.integers(0, 20))
def test_states_are_those_without_a_memory_and_the_bound_holds_in_any_log(shards, bound):
    """A shard is a list of batches. At any time no more is held than the bound, or than what was announced where that is
    more; and what was announced is encoded once in its shard."""
    encode, plain, memory = Counted(), Counted(), PassageMemory()
    with mock.patch.object(embedding_cache, "MOST_TOKENS", bound):
        for shard in shards:
            batches = [by_length(passages) for passages in shard]
            memory.expect(said(batches))
            announced = {ids for ids, count in Counter(said(batches)).items() if count > 1}
            encode.times.clear()
            for groups in batches:
                for one, two in zip(memory.states(groups, encode), plain(groups), strict=True):
                    assert torch.equal(one, two)
                assert memory.held_tokens <= max(bound, sum(map(len, announced)))
            assert all(encode.times.get(ids, 0) <= 1 for ids in announced)


@given(shards, st.integers(0, 20))
def test_what_is_read_ahead_is_not_encoded_again_until_the_next(shards, bound):
    """A shard is a list of runs, and each of its passages a batch of its own."""
    encode, plain, memory = Counted(), Counted(), PassageMemory()
    with mock.patch.object(embedding_cache, "MOST_TOKENS", bound):
        for shard in shards:
            announced = {ids for ids, count in Counter(ids for run in shard for ids in run).items() if count > 1}
            memory.expect(ids for run in shard for ids in run)
            for run in shard:
                memory.read_ahead(sorted(run), encode)
                encode.times.clear()
                for ids in run:
                    groups = [torch.tensor([ids])]
                    (states,) = memory.states(groups, encode)
                    assert torch.equal(states, plain(groups)[0])
                assert encode.times == {}
                assert memory.held_tokens <= max(bound, sum(map(len, announced | run)))


def by_length(passages: set[tuple[int, ...]]) -> list[torch.Tensor]:
    lengths = sorted({len(ids) for ids in passages})
    return [torch.tensor(sorted(ids for ids in passages if len(ids) == length)) for length in lengths]


def test_what_is_kept_is_written_over_and_not_grown(monkeypatch):
    """However long the log, states lie in the same memory."""
    monkeypatch.setattr(embedding_cache, "MOST_TOKENS", 12)
    memory, places = PassageMemory(), set()
    for n in range(0, 300, 3):
        groups = [torch.tensor([[n, n], [n + 1, n], [n + 2, n]])]
        memory.expect(2 * said([groups]))
        memory.states(groups, Counted())
        assert memory._slab is not None
        places.add(memory._slab.data_ptr())
    assert len(places) == 1
    assert memory._slab is not None
    assert memory._slab.shape == (12, 3)


def test_what_was_kept_in_inference_is_read_and_written_in_any_mode():
    encode, memory = Counted(), PassageMemory()
    first, second = [torch.tensor([[1, 2]])], [torch.tensor([[1, 2], [3, 4]])]
    for mode, groups in ((torch.inference_mode, first), (torch.no_grad, second)):
        memory.expect(2 * said([groups]))
        with mode():
            (states,) = memory.states(groups, encode)
        assert torch.equal(states, Counted()(groups)[0])
    assert encode.times == {(1, 2): 1, (3, 4): 1}


def test_a_shard_is_labeled_without_encoding_a_text_twice(tiny_encoder, tmp_path, monkeypatch):
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
    assert annotator.model.turn_encoder.memory.encoded_tokens == sum(map(len, distinct))
