"""Laws of the order in which dialogues are trained on."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.errors import UsageError
from labelgen.training.sampler import Sampler, step_turns, total_steps


def make(sizes: list[int], mix: tuple[float, ...] = (1.0,), logs: list[int] | None = None, **more: Any) -> Sampler:
    turns = np.array(sizes, dtype=np.int64)
    log = np.array(logs or [0] * len(sizes), dtype=np.int64)
    return replace(Sampler(turns=turns, words=turns * 7, log=log, mix=mix, batch_turns=12, batch_words=90), **more)


samplers = st.builds(
    lambda sizes, seed, accumulate, processes: make(sizes, seed=seed, accumulate=accumulate, processes=processes),
    st.lists(st.integers(1, 20), min_size=5, max_size=60),
    st.integers(0, 5),
    st.integers(1, 3),
    st.integers(1, 5),
)


@given(samplers, st.integers(0, 3))
def test_sampler_covers_every_dialogue_once(sampler: Sampler, epoch: int):
    first = sum(sampler.steps(e) for e in range(epoch))
    steps = range(first, first + sampler.steps(epoch))
    shares = [[sampler.parts(process, step) for step in steps] for process in range(sampler.processes)]
    seen = [index for share in shares for parts in share for part in parts for index in part.indices]
    assert sorted(seen) == list(range(len(sampler.turns)))
    for same_step in zip(*shares, strict=True):
        assert len({len(parts) for parts in same_step}) == 1
        for parts in same_step:
            assert 1 <= len(parts) <= sampler.accumulate
            assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
            assert {part.epoch for part in parts} == {epoch}


@given(samplers, st.integers(0, 3))
def test_sampler_order_depends_on_seed_and_epoch(sampler: Sampler, epoch: int):
    again = make(sampler.turns.tolist(), seed=sampler.seed, accumulate=sampler.accumulate, processes=sampler.processes)
    again.plan(epoch + 1)  # Whatever was asked for before.
    assert [b.tolist() for b in sampler.plan(epoch)] == [b.tolist() for b in again.plan(epoch)]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(0, 5))
def test_sampler_batch_keeps_budget(sizes: list[int], seed: int):
    sampler = make(sizes, seed=seed)
    for batch in sampler.plan(0):
        fits = sampler.turns[batch].sum() <= 12 and sampler.words[batch].sum() <= 90
        assert fits or len(batch) == 1


def test_sampler_mix_repeats_logs():
    logs = [0] * 10 + [1] * 8
    sampler = make([2] * 18, mix=(2.0, 0.5), logs=logs)
    epochs = [Counter(np.concatenate(sampler.plan(epoch)).tolist()) for epoch in range(4)]
    for seen in epochs:
        assert [seen[i] for i in range(10)] == [2] * 10
        assert sum(seen[i] for i in range(10, 18)) == 4
    assert len({tuple(sorted(set(seen) - set(range(10)))) for seen in epochs}) > 1


def test_sampler_too_few_dialogues_is_refused():
    with pytest.raises(UsageError, match="2 dialogues are too few for 3"):
        make([1, 1], processes=3).plan(0)


def test_total_steps_are_those_given_or_passes_but_500_at_least():
    sampler = make([3] * 20)
    assert total_steps(sampler, None, 3) == sum(sampler.steps(e) for e in range(3)) == 15
    assert total_steps(sampler, 7, 3) == 7
    assert total_steps(sampler, None, None) == 500
    assert total_steps(make([12] * 200), None, None) == 600


@given(st.integers(1, 512), st.integers(1, 64), st.integers(1, 10**7))
def test_step_grows_with_its_batches_only_on_large_logs(batch: int, batches: int, turns: int):
    most = step_turns(batch, batches, turns)
    assert batch <= most <= batch * batches
    assert most == batch or 3 * turns // most >= 1000
    assert step_turns(batch, 1, turns) == batch
    assert step_turns(batch, batches, 10 * turns) >= most
    assert step_turns(batch, batches, batch * batches * 1000) == batch * batches
