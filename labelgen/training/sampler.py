"""Sampler: assigns dialogues to batches, steps and epochs. It is a pure function of the seed and has no state, so that a run can resume
at any step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labelgen.base.errors import UsageError

Indices = NDArray[np.int64]

PASSES = 3
"""Default number of passes over the training logs."""
LEAST_STEPS = 500
"""Number of steps that the default length does not go below; a shorter run prints a warning."""
MANY_STEPS = 1000
"""Number of steps above which a step may have more turns than one batch."""
_WINDOW = 32
"""Number of batches whose shuffled dialogues are sorted by length together: more means less padding, fewer means more randomness."""


@dataclass(frozen=True, slots=True)
class StepPart:
    """One batch of one process within an optimizer step.

    step: index since the start of the run. part: index within the step, over all processes. last: whether it is the process's last of
    the step. indices: of its dialogues."""

    step: int
    part: int
    last: bool
    epoch: int
    indices: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Batches of dialogues of similar length, in an order that depends on (seed, epoch) alone.

    turns, words: size of each dialogue. log: index of its log; mix: number of passes over each log in an epoch. A batch
    has at most batch_turns turns and batch_words words, unless it is one dialogue. A step has `accumulate` batches in
    each of `processes` processes; the last step of an epoch may have fewer, the same number in each process."""

    turns: Indices
    words: Indices
    log: Indices
    mix: tuple[float, ...]
    batch_turns: int
    batch_words: int
    accumulate: int = 1
    processes: int = 1
    seed: int = 0
    _plans: dict[int, list[Indices]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _steps: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def steps(self, epoch: int) -> int:
        """Number of optimizer steps in an epoch."""
        if epoch not in self._steps:
            batches = len(self.plan(epoch)) // self.processes
            self._steps[epoch] = -(-batches // self.accumulate)
        return self._steps[epoch]

    def locate(self, step: int) -> tuple[int, int]:
        """(epoch, step within it) of a step that is counted from the start of the run."""
        epoch = 0
        while step >= self.steps(epoch):
            step -= self.steps(epoch)
            epoch += 1
        return epoch, step

    def parts(self, process: int, step: int) -> list[StepPart]:
        """Batches of one process in one step."""
        epoch, within = self.locate(step)
        size = self.accumulate * self.processes
        batches = self.plan(epoch)[within * size : (within + 1) * size][process :: self.processes]
        return [
            StepPart(step, k * self.processes + process, k == len(batches) - 1, epoch, tuple(map(int, indices)))
            for k, indices in enumerate(batches)
        ]

    def plan(self, epoch: int) -> list[Indices]:
        """All batches of an epoch in order; process r gets those at r, r + processes, and so on."""
        if epoch not in self._plans:
            rng = np.random.default_rng([self.seed, epoch])
            batches = self._balance(self._pack(self._order(rng)))
            self._plans.clear()
            self._plans[epoch] = [batches[i] for i in rng.permutation(len(batches))]
        return self._plans[epoch]

    def _order(self, rng: np.random.Generator) -> Indices:
        chosen = []
        for number, times in enumerate(self.mix):
            indices = np.flatnonzero(self.log == number)
            whole, part = int(times), times - int(times)
            chosen += [indices] * whole
            chosen.append(rng.permutation(indices)[: round(part * len(indices))])
        order: Indices = rng.permutation(np.concatenate(chosen))
        if len(order) < self.processes:
            raise UsageError(
                f"{len(order)} dialogues are too few for {self.processes} processes",
                "data",
                "take more dialogues or fewer devices",
            )
        return order

    def _pack(self, order: Indices) -> list[Indices]:
        mean = max(1.0, float(self.turns.mean()))
        window = max(1, int(_WINDOW * self.batch_turns / mean))
        batches: list[Indices] = []
        for start in range(0, len(order), window):
            inside = order[start : start + window]
            batches += self._split(inside[np.lexsort((inside, self.words[inside], self.turns[inside]))])
        return batches

    def _split(self, row: Indices) -> list[Indices]:
        batches, start, turns, words = [], 0, 0, 0
        for end, index in enumerate(row):
            turns += int(self.turns[index])
            words += int(self.words[index])
            if end > start and (turns > self.batch_turns or words > self.batch_words):
                batches.append(row[start:end])
                start, turns, words = end, int(self.turns[index]), int(self.words[index])
        return [*batches, row[start:]] if len(row) else batches

    def _balance(self, batches: list[Indices]) -> list[Indices]:
        # Every process needs the same number of batches in every step: the largest are halved until the number fits,
        # or, with too few dialogues for that, the smallest are joined.
        over = len(batches) % self.processes
        if over and len(batches) - over + self.processes <= sum(len(batch) for batch in batches):
            for _ in range(self.processes - over):
                whole = batches.pop(max(range(len(batches)), key=lambda i: len(batches[i])))
                batches += [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
        else:
            for _ in range(over):
                batches.sort(key=len, reverse=True)
                batches.append(np.concatenate([batches.pop(), batches.pop()]))
        return batches


def total_steps(sampler: Sampler, steps: int | None, max_epochs: int | None) -> int:
    """Number of steps of a whole run: as given, or those of the passes that are given, or the default length."""
    if steps is not None:
        return steps
    passes = sum(sampler.steps(epoch) for epoch in range(max_epochs or PASSES))
    return passes if max_epochs else max(passes, LEAST_STEPS)


def step_turns(batch_turns: int, batches: int, turns: int) -> int:
    """Maximum number of turns of a step of so many batches, on logs of so many turns: those of its batches, but of one batch alone where
    PASSES passes would be fewer than MANY_STEPS steps."""
    return min(batches * batch_turns, max(batch_turns, PASSES * turns // MANY_STEPS))


def word_count(texts: Sequence[str]) -> int:
    """Number of words between blanks: a cheap estimate of the number of tokens, to bound the size of a batch."""
    return sum(len(text.split()) for text in texts)
