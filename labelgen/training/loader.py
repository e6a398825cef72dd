"""Batches for Lightning, each with what its whole step weighs."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from labelgen.features.layout import Batch
from labelgen.model.batches import Collator, Example
from labelgen.training.data import Examples, ExampleTable
from labelgen.training.sampler import Part, Sampler


@dataclass(frozen=True)
class StepBatch:
    """A batch and its place in a step. weights: of all targets of each task in the step's batches of this process."""

    batch: Batch
    part: Part
    weights: Mapping[str, float]

    def to(self, device: torch.device | str, **_: Any) -> "StepBatch":
        """Lightning hands its own options over, such as non_blocking."""
        return replace(self, batch=self.batch.to(device))


class Heard:
    """A collator that sends along with a batch how often sound was read for it and how often not, by reason: what a
    loader's own processes count ends with them."""

    def __init__(self, collator: Collator) -> None:
        self.collator = collator

    def __call__(self, examples: Sequence[Example]) -> tuple[Batch, int, Counter[str]]:
        sound = self.collator.sound
        if sound is None:
            return self.collator(examples), 0, Counter()
        heard, unheard = sound.heard, sound.unheard.copy()
        batch = self.collator(examples)
        return batch, sound.heard - heard, sound.unheard - unheard


class TrainingLoader:
    """The batches of the epoch that the step `done()` falls in, from that step on, up to the last step of the run.

    Where training stands is asked and not remembered, so a run that is resumed sees what an unbroken one sees.

    heard, unheard: how often sound was read so far, and how often not, by reason, in the batches of this process."""

    def __init__(
        self,
        examples: Examples,
        collator: Collator,
        sampler: Sampler,
        done: Callable[[], int],
        process: Callable[[], int],
        steps: int,
        workers: int,
    ) -> None:
        self.table = ExampleTable(examples)
        self.collator = collator
        self.order = sampler
        self.done = done
        self.process = process
        self.steps = steps
        self.workers = workers
        self.heard = 0
        self.unheard: Counter[str] = Counter()

    def __iter__(self) -> Iterator[StepBatch]:
        first = self.done()
        epoch, within = self.order.locate(first)
        end = min(self.steps, first - within + self.order.steps(epoch))
        parts = [part for step in range(first, end) for part in self.order.parts(self.process(), step)]
        keys = [[(part.epoch, index) for index in part.indices] for part in parts]
        batches = _batches(self.table, self.collator, keys, self.workers)
        place = 0
        while place < len(parts):
            size = next(k for k, part in enumerate(parts[place:], 1) if part.last)
            held = []
            for batch, heard, unheard in islice(batches, size):
                held.append(batch)
                self.heard += heard
                self.unheard += unheard
            weights: dict[str, float] = {}
            for batch in held:
                for name, weight in batch.target_weights.items():
                    weights[name] = weights.get(name, 0.0) + weight
            for batch, part in zip(held, parts[place : place + size], strict=True):
                yield StepBatch(batch, part, weights)
            place += size


class ValidationLoader:
    """One pass over held-out examples, always the same."""

    def __init__(
        self, examples: Examples, collator: Collator, sampler: Sampler, process: Callable[[], int], workers: int
    ) -> None:
        self.table = ExampleTable(examples)
        self.collator = collator
        self.order = sampler
        self.process = process
        self.workers = workers

    def __len__(self) -> int:
        return len(self.order.plan(0)) // self.order.processes

    def __iter__(self) -> Iterator[Batch]:
        own = self.order.plan(0)[self.process() :: self.order.processes]
        keys = [[(0, int(index)) for index in indices] for indices in own]
        return (batch for batch, _, _ in _batches(self.table, self.collator, keys, self.workers))


def _batches(
    table: ExampleTable, collator: Collator, keys: Sequence[Sequence[tuple[int, int]]], workers: int
) -> Iterator[tuple[Batch, int, Counter[str]]]:
    loader: DataLoader[Any] = DataLoader(
        table,
        batch_sampler=[list(row) for row in keys],
        collate_fn=Heard(collator),
        num_workers=workers,
        worker_init_fn=_leave_sigterm,
        # A loader draws a seed for its workers; from a generator of its own, training's numbers stay as they are.
        generator=torch.Generator(),
    )
    return iter(loader)


def _leave_sigterm(worker: int) -> None:
    """The training process answers it, and needs its batches until it has saved what it has."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
