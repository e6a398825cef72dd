"""Worker processes of a loader live over epochs, and a batch in pinned memory is the same batch."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from labeled import LABELS, every_target, labeled_dialogue
from msgspec import structs
from torch import Tensor

from labelgen.model.batches import Collator, Example
from labelgen.model.build import build_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions
from labelgen.training.loader import BatchLoader, LoadedBatch

DIALOGUES = [labeled_dialogue(seed, 2) for seed in range(6)]


class ExamplesOfProcess:
    """Examples whose source is the process that made them."""

    corpus: Any = SimpleNamespace()

    def example(self, epoch: int, index: int) -> Example:
        dialogue = structs.replace(DIALOGUES[index], source=str(os.getpid()))
        return Example(dialogue, every_target(DIALOGUES[index]))


@pytest.fixture
def collator(tiny_encoder: Path) -> Collator:
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_layers=1, dialogue_heads=2)
    return build_model(options, {"quality": TaskOptions(), "slots": TaskOptions()}, LABELS, DIALOGUES).collator()


@pytest.fixture
def load(collator: Collator) -> Iterator[Callable[[int], BatchLoader]]:
    loaders: list[BatchLoader] = []

    def of(workers: int) -> BatchLoader:
        loaders.append(BatchLoader(ExamplesOfProcess(), collator, workers, pinned=False))
        return loaders[-1]

    yield of
    for loader in loaders:
        loader.close()


def texts(loaded: LoadedBatch) -> Any:
    return [[(turn.request, turn.response) for turn in d.turns] for d in loaded.batch.layout.dialogues]


def processes(loaded: LoadedBatch) -> set[str | None]:
    return set(loaded.batch.layout.sources)


KEYS = [[(0, 0), (0, 1)], [(0, 2)], [(0, 3), (0, 4), (0, 5)]]


def test_worker_processes_live_over_epochs(load: Callable[[int], BatchLoader]):
    loader = load(1)
    epochs = [list(loader.load(KEYS)), list(loader.load(KEYS[:2]))]
    workers = set().union(*(processes(one) for epoch in epochs for one in epoch))
    assert len(workers) == 1
    assert workers != {str(os.getpid())}
    loader.close()
    assert not [child for child in multiprocessing.active_children() if str(child.pid) in workers]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_after_an_unfinished_epoch_are_those_of_their_keys(load: Callable[[int], BatchLoader], workers: int):
    loader = load(workers)
    first = loader.load(KEYS)
    assert texts(next(first)) == texts(next(load(0).load(KEYS)))
    other = KEYS[::-1]
    assert list(map(texts, loader.load(other))) == list(map(texts, load(0).load(other)))


def test_pinned_batch_is_the_same_batch(load: Callable[[int], BatchLoader], monkeypatch: pytest.MonkeyPatch):
    """Pinning itself needs CUDA; which tensors are pinned does not."""
    loaded = replace(next(load(0).load(KEYS)), audio_turns=3, audio_errors=Counter(no_file=2))
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor.clone()

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    copy = loaded.pin_memory()
    assert (copy.audio_turns, copy.audio_errors) == (3, {"no_file": 2})
    one, two = loaded.batch, copy.batch
    assert any(x is one.passages.ids for x in pinned)
    assert any(x is one.targets["slots"].expected for x in pinned)
    assert two.layout.position is not one.layout.position
    assert torch.equal(two.layout.position, one.layout.position)
    assert two.target_weights == one.target_weights
    assert (two.turns, two.tokens) == (one.turns, one.tokens)
