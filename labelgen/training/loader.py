"""Data loaders: batches for Lightning, with the total target weight of their optimizer step."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from labelgen.base.terminal import progress
from labelgen.features.layout import Batch
from labelgen.model.batches import Collator, Example, Goals
from labelgen.training.corpus import Examples, ExampleTable
from labelgen.training.sampler import Sampler, StepPart

VALIDATIONS = 10
"""Maximum number of validations of a run."""


@dataclass(frozen=True)
class StepBatch:
    """A batch and its place in a step. weights: total target weight of each task in the step's batches of this process."""

    batch: Batch
    part: StepPart
    weights: Mapping[str, float]

    def to(self, device: torch.device | str, **_: Any) -> "StepBatch":
        """Move to a device without waiting for it; ignores the options that Lightning adds."""
        return replace(self, batch=self.batch.to(device))


@dataclass(frozen=True)
class HeldOutBatch:
    """A batch of validation and the indices of its dialogues.

    goals: of each dialogue those that the model starts from, and those of its reference; None if its labels are not compared."""

    batch: Batch
    indices: tuple[int, ...]
    goals: tuple[tuple[Goals, Goals], ...] | None = None

    def to(self, device: torch.device | str, **_: Any) -> "HeldOutBatch":
        """Move to a device; ignores the options that Lightning adds, such as non_blocking."""
        return replace(self, batch=self.batch.to(device))


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """A batch, and how many turns' audio was read for it, and not read, by reason."""

    batch: Batch
    audio_turns: int
    audio_errors: Counter[str]

    def pin_memory(self) -> "LoadedBatch":
        """Called by torch's data loader."""
        return replace(self, batch=self.batch.pin_memory())


class AudioCountingCollator:
    """Collator that counts the audio of a batch. The counters of a loader's worker process end with that process."""

    def __init__(self, collator: Collator) -> None:
        self.collator = collator

    def __call__(self, examples: Sequence[Example]) -> LoadedBatch:
        sound = self.collator.sound
        if sound is None:
            return LoadedBatch(self.collator(examples), 0, Counter())
        audio_turns, audio_errors = sound.audio_turns, sound.audio_errors.copy()
        batch = self.collator(examples)
        return LoadedBatch(batch, sound.audio_turns - audio_turns, sound.audio_errors - audio_errors)


class BatchLoader:
    """Batches of examples by their keys, made in this process or in worker processes.

    Worker processes live as long as the loader, so that their caches of tokenized texts last over epochs. Each prepares two batches
    ahead. pinned: for copies to CUDA that wait for nothing."""

    def __init__(self, examples: Examples, collator: Collator, workers: int, pinned: bool) -> None:
        # torch takes any iterable; it holds the keys of one epoch.
        self._keys: list[list[tuple[int, int]]] = []
        self._loader: DataLoader[Any] = DataLoader(
            ExampleTable(examples),
            batch_sampler=self._keys,
            collate_fn=AudioCountingCollator(collator),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pinned,
            worker_init_fn=_ignore_sigterm,
            # A loader draws a seed for its workers; a separate generator leaves the global random numbers alone.
            generator=torch.Generator(),
        )

    def load(self, keys: Sequence[Sequence[tuple[int, int]]]) -> Iterator[LoadedBatch]:
        """The batches of these keys, each an epoch and an index. Batches of an earlier call that were not taken are dropped."""
        self._keys[:] = map(list, keys)
        return iter(self._loader)

    def close(self) -> None:
        """End the worker processes."""
        iterator: Any = self._loader._iterator
        if iterator is not None:
            iterator._shutdown_workers()
            self._loader._iterator = None


class TrainingLoader:
    """Training batches from step `done()` to the next validation, or to the last step of the run.

    The loader keeps no position and asks for it, so a resumed run sees the same batches as an uninterrupted one.

    audio_turns, audio_errors: number of turns so far whose audio was read, and not read, by reason, in this process's batches."""

    def __init__(
        self,
        examples: Examples,
        collator: Collator,
        sampler: Sampler,
        done: Callable[[], int],
        process: Callable[[], int],
        steps: int,
        workers: int,
        pinned: bool = False,
    ) -> None:
        self.batches = BatchLoader(examples, collator, workers, pinned)
        # Not `sampler`: Lightning would expect torch's.
        self.order = sampler
        self.done = done
        self.process = process
        self.steps = steps
        # Between two validations, which Lightning takes for one epoch.
        self.epochs = -(-(sampler.locate(steps - 1)[0] + 1) // VALIDATIONS)
        self.audio_turns = 0
        self.audio_errors: Counter[str] = Counter()

    def __iter__(self) -> Iterator[StepBatch]:
        first = self.done()
        epoch, within = self.order.locate(first)
        ahead = range(epoch, (epoch // self.epochs + 1) * self.epochs)
        end = min(self.steps, first - within + sum(map(self.order.steps, ahead)))
        steps = [self.order.parts(self.process(), step) for step in range(first, end)]
        keys = [[(part.epoch, index) for index in part.indices] for parts in steps for part in parts]
        loaded = self.batches.load(keys)
        for parts in steps if self.process() else progress(steps, f"train, epoch {epoch + 1}", "steps", len(steps)):
            batches = []
            weights: dict[str, float] = {}
            for one in islice(loaded, len(parts)):
                batches.append(one.batch)
                for name, weight in one.batch.target_weights.items():
                    weights[name] = weights.get(name, 0.0) + weight
                self.audio_turns += one.audio_turns
                self.audio_errors += one.audio_errors
            for batch, part in zip(batches, parts, strict=True):
                yield StepBatch(batch, part, weights)


class ValidationLoader:
    """One pass over held-out examples, always in the same batches.

    compared: number of dialogues whose labels are compared with a reference: those of the first batches. goals: of a dialogue by its
    index (HeldOutBatch)."""

    def __init__(
        self,
        examples: Examples,
        collator: Collator,
        sampler: Sampler,
        process: Callable[[], int],
        workers: int,
        pinned: bool = False,
        compared: int = 0,
        goals: Callable[[int], tuple[Goals, Goals]] | None = None,
    ) -> None:
        self.batches = BatchLoader(examples, collator, workers, pinned)
        self.order = sampler
        self.process = process
        self.goals = goals
        ends = accumulate(map(len, sampler.plan(0)))
        self.compared = 0 if compared == 0 else 1 + sum(end < compared for end in ends)
        """Number of batches, over all processes, whose labels are compared."""

    def __len__(self) -> int:
        return len(self.order.plan(0)) // self.order.processes

    def __iter__(self) -> Iterator[HeldOutBatch]:
        first, processes = self.process(), self.order.processes
        plan = [tuple(map(int, indices)) for indices in self.order.plan(0)[first::processes]]
        loaded = self.batches.load([[(0, index) for index in indices] for indices in plan])
        for number, (indices, one) in enumerate(zip(plan, loaded, strict=True)):
            compared = self.goals is not None and number * processes + first < self.compared
            goals = tuple(map(self.goals, indices)) if self.goals is not None and compared else None
            yield HeldOutBatch(one.batch, indices, goals)

    def compared_indices(self) -> list[int]:
        """The dialogues of all processes whose labels are compared."""
        return sorted(int(index) for indices in self.order.plan(0)[: self.compared] for index in indices)


def _ignore_sigterm(worker: int) -> None:
    """The training process handles SIGTERM and needs its batches until it has saved a checkpoint."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
