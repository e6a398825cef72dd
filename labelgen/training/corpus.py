"""Training data: prepared logs, the choice of targets, and the examples of finetuning and pretraining.

The two commands differ in their examples alone. An example is a pure function of (seed, epoch, index). Prepared
dialogues lie in a file without a name, so that nothing is left behind however the process ends."""

import hashlib
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
from msgspec.structs import replace
from torch.utils.data import Dataset

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.files import keep_private, to_path
from labelgen.base.registry import resolve
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import Names, Sources, merge
from labelgen.data.labels import (
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    Target,
    divides,
    field_of,
    is_annotated,
    targets_of,
    tasks_of,
    turns_of,
)
from labelgen.data.log import Log, Quarantine, by_folder
from labelgen.data.reader import Options
from labelgen.data.record import decode, encode
from labelgen.data.split import fingerprint
from labelgen.model.batches import Example
from labelgen.pretraining.corruption import DialoguePool, pretraining_example, without_times
from labelgen.tasks import TASKS
from labelgen.training.options import AugmentOptions, TargetOptions
from labelgen.training.sampler import Indices, word_count


class RecordFile:
    """Records in a temporary file without a name, read by their number. digest: SHA-256 of all of them.

    Raises StorageError if the disk is full."""

    def __init__(self) -> None:
        with _errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._ends = array("q", [0])
        self.digest = hashlib.sha256()

    def add(self, record: bytes) -> None:
        """One more record."""
        with _errors():
            self._file.write(record)
        self._ends.append(self._ends[-1] + len(record))
        self.digest.update(record)

    def finish(self) -> None:
        """Write what is still in memory. From then on records can be read, and no more are added."""
        with _errors():
            self._file.flush()

    def __getitem__(self, index: int) -> bytes:
        # Worker processes share the file, but not a place in it.
        start, end = self._ends[index], self._ends[index + 1]
        return os.pread(self._file.fileno(), end - start, start)

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the training dialogues cannot be written to a temporary file: {error.strerror}",
            tempfile.gettempdir(),
            "free some room there, or name another disk by TMPDIR",
        ) from error


_DRAWS = 8
_SAME = 1e-6
_POOL = 20_000
"""Number of dialogues, drawn once and kept in memory, that provide other responses and spliced dialogues."""
Prepare = Callable[[Dialogue], Dialogue | None]
"""Reduces a dialogue to what is kept, with its targets; None drops it."""


class Corpus(Sequence[Dialogue]):
    """Random access to the prepared dialogues of several logs. They lie in a file and are decoded on access, so memory grows by 48 bytes a
    dialogue.

    logs: number of logs. turns, words, log: size of each dialogue, and the index of its log. fingerprints: a hash of the texts of each.
    labels: label sets that the logs publish or their targets show. read: number of dialogues before any was dropped. digest: of all
    prepared records. Unreadable records go to the quarantine. options: of the reader of the format."""

    turns: Indices
    words: Indices
    log: Indices

    def __init__(
        self,
        logs: Sequence[str],
        format: str,
        max_bad_rate: float,
        prepare: Prepare,
        name: str,
        quarantine: Quarantine,
        options: Options | None = None,
    ) -> None:
        keep_private(map(to_path, logs))
        self.logs = len(logs)
        self.read = 0
        self.labels: Sources = {}
        self._roots: list[Path] = []
        self._records = RecordFile()
        self.fingerprints = array("Q")
        rows: list[array[int]] = [array("q") for _ in range(4)]
        names = Names()
        try:
            for number, path in enumerate(logs):
                for root, files in by_folder(Path(path), format):
                    part = Log(files, format, options, quarantine, max_bad_rate)
                    self.labels = merge(self.labels, part.labels())
                    self._roots.append(root)
                    for dialogue in progress(part, f"{name}: read {path}", "dialogues"):
                        self.read += 1
                        kept = prepare(dialogue)
                        if kept is not None and kept.turns:
                            words = word_count([text for turn in kept.turns for text in (turn.request, turn.response)])
                            for target in kept.targets:
                                names.add_target(kept.source, target)
                            self._records.add(encode(kept))
                            self.fingerprints.append(fingerprint(dialogue))
                            row = (len(kept.turns), words, number, len(self._roots) - 1)
                            for column, value in zip(rows, row, strict=True):
                                column.append(value)
            self._records.finish()
        except BaseException:
            self.close()
            raise
        self.labels = merge(self.labels, names.sources())
        self.digest = self._records.digest.hexdigest()
        self.turns, self.words, self.log, self._root = (np.array(column, dtype=np.int64) for column in rows)

    def close(self) -> None:
        """Free the disk space."""
        self._records.close()

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, index: int) -> Dialogue:  # type: ignore[override]
        dialogue = decode(self._records[index], "the prepared records")
        if not isinstance(dialogue, Dialogue):
            raise IntegrityError(f"a prepared record cannot be read back: {dialogue.reason}", dialogue.where())
        return dialogue

    def __iter__(self) -> Iterator[Dialogue]:
        return (self[index] for index in range(len(self)))

    def name(self, index: int) -> str:
        """Id of a dialogue."""
        return self[index].id

    def root(self, index: int) -> Path:
        """Folder of a dialogue's relative audio paths."""
        return self._roots[int(self._root[index])]


class ChosenTargets:
    """Choice of targets by the options: the dialogue with its targets, or None if it has no target of the tasks.

    If several annotators match, the labels of each are targets, and the weights of an annotator's targets sum to their share. So
    the model learns the distribution of the annotators' labels. A consensus would lose that distribution, and every tie.

    keep_annotations: the dialogue keeps the annotations that its targets come from, as the reference of task metrics."""

    def __init__(self, options: TargetOptions, tasks: Collection[str], keep_annotations: bool = False) -> None:
        self.options = options
        self.tasks = frozenset(tasks)
        self.keep_annotations = keep_annotations
        known = {name: resolve(TASKS, name, "task") for name in TASKS}
        self._exclusive = frozenset(n for n, task in known.items() if task.names is not None and not task.divides)

    def __call__(self, dialogue: Dialogue) -> Dialogue | None:
        chosen = [a for a in dialogue.annotations if any(_matches(a, name) for name in self.options.annotators)]
        annotators = Counter(task for a in chosen for task in tasks_of(a))
        targets = [
            replace(t, weight=1.0 / annotators[t.task])
            for annotation in chosen
            for t in targets_of(annotation)
            # An exclusive task without any name has nothing to learn.
            if t.distribution or t.task not in self._exclusive
        ]
        if self.options.feedback:
            annotated = {field_of(t.task, t.at) for t in targets}
            targets += [t for t in dialogue.targets if field_of(t.task, t.at) not in annotated]
        used = tuple(t for t in targets if t.task in self.tasks and t.weight > 0.0)
        kept = tuple(chosen) if self.keep_annotations else ()
        return replace(dialogue, targets=used, annotations=kept) if used else None


def _matches(annotation: Annotation, pattern: str) -> bool:
    kind, equals, name = pattern.partition("=")
    if equals and kind == "kind":
        return annotation.kind == name
    return fnmatchcase(annotation.annotator, pattern)


def target_counts(corpus: Sequence[Dialogue]) -> dict[str, int]:
    """Number of targets of each task, sorted by task."""
    counts = Counter(target.task for dialogue in corpus for target in dialogue.targets)
    return dict(sorted(counts.items()))


class Examples(Protocol):
    """Training examples of a corpus."""

    corpus: Corpus

    def example(self, epoch: int, index: int) -> Example: ...


class AnnotatedExamples:
    """Examples of finetuning and of validation: dialogues with the targets that the corpus was prepared with. augment: their changes, drawn
    anew in each epoch; without a value they are equal in every epoch. annotated_only: tasks whose targets from feedback are left out."""

    annotated_only: frozenset[str] = frozenset()

    def __init__(self, corpus: Corpus, seed: int, augment: AugmentOptions | None = None) -> None:
        self.corpus = corpus
        self.seed = seed
        self.augment = augment or AugmentOptions()

    def example(self, epoch: int, index: int) -> Example:
        dialogue = self._dialogue(index)
        rng = Random(f"{self.seed}/{epoch}/{dialogue.id}")
        if self.augment.joined and rng.random() < self.augment.joined:
            other = self._another(index, dialogue, rng)
            dialogue = (other and join_at_goals(dialogue, other, rng)) or dialogue
        return Example(replace(dialogue, targets=()), dialogue.targets, self.corpus.root(index))

    def _dialogue(self, index: int) -> Dialogue:
        dialogue = self.corpus[index]
        targets = (t for t in dialogue.targets if is_annotated(t) or t.task not in self.annotated_only)
        return replace(dialogue, targets=tuple(targets)) if self.annotated_only else dialogue

    def _another(self, index: int, dialogue: Dialogue, rng: Random) -> Dialogue | None:
        """A dialogue of the same log and source, which has the same labels; None if a few draws find none."""
        for _ in range(_DRAWS):
            drawn = rng.randrange(len(self.corpus))
            if drawn != index and self.corpus.log[drawn] == self.corpus.log[index]:
                other = self._dialogue(drawn)
                if other.source == dialogue.source:
                    return other
        return None


def join_at_goals(first: Dialogue, second: Dialogue, rng: Random) -> Dialogue | None:
    """Beginning of one dialogue and end of another, cut between goals, with the targets of both.

    In a training log only some topics follow each other, and a goal head learns these pairs. Of joined dialogues any goal may
    follow any other. The cut is after the last turn of a goal and before the first turn of one, so that no greeting shows it,
    and no target's goal lies on both sides. Times are dropped because they would reveal the cut, and so is audio, as in
    pretraining. Targets about the whole dialogue are dropped; that a division into goals is complete is kept.

    Returns None if a dialogue has no goals among its targets, or one of them is divided completely and the other is not."""
    ends, starts = _cuts(first, last=True), _cuts(second, last=False)
    closed = _closed(first)
    if not ends or not starts or abs(_weight(closed) - _weight(_closed(second))) > _SAME:
        return None
    end, start = rng.choice(ends), rng.choice(starts)
    kept = [t for t in first.targets if (place := turns_of(t.at)) is not None and place[-1] < end]
    moved = [
        replace(t, at=_moved(t.at, end - start))
        for t in second.targets
        if (place := turns_of(t.at)) is not None and place[0] >= start
    ]
    turns = (*first.turns[:end], *second.turns[start:])
    return _made(first, second, turns, (*kept, *moved, *closed))


def _goals(dialogue: Dialogue) -> list[tuple[int, ...]]:
    return sorted({t.at.turns for t in dialogue.targets if isinstance(t.at, AtGoal)})


def _closed(dialogue: Dialogue) -> list[Target]:
    """Targets that say that the division into goals is complete."""
    return [t for t in dialogue.targets if divides(t.task) and isinstance(t.at, AtDialogue)]


def _weight(targets: Sequence[Target]) -> float:
    return sum(target.weight for target in targets)


def _made(dialogue: Dialogue, other: Dialogue, turns: Sequence[Turn], targets: Sequence[Target]) -> Dialogue:
    return replace(
        dialogue,
        id=f"{dialogue.id}+{other.id}",
        turns=tuple(replace(without_times(turn), audio=None) for turn in turns),
        feedback=(),
        signals=(),
        targets=tuple(targets),
    )


def _cuts(dialogue: Dialogue, last: bool) -> list[int]:
    """Places between turns that cut no goal of a target: after a goal's last turn, or before its first."""
    goals = _goals(dialogue)
    places = {goal[-1] + 1 if last else goal[0] for goal in goals}
    return sorted(p for p in places if not any(goal[0] < p <= goal[-1] for goal in goals))


def _moved(at: At, by: int) -> At:
    """A place of a dialogue whose turns are moved by so many."""
    if isinstance(at, AtGoal):
        return AtGoal(tuple(turn + by for turn in at.turns))
    return at if isinstance(at, AtDialogue) else replace(at, turn=at.turn + by)


class CorruptedExamples:
    """Examples of pretraining: every dialogue once an epoch, each time with a new random corruption. Parts of other dialogues come from
    a pool in memory."""

    def __init__(self, corpus: Corpus, mixture: Mapping[str, float], seed: int, single: float = 1.0) -> None:
        self.corpus = corpus
        self.mixture = mixture
        self.seed = seed
        chosen = Random(f"{seed}/pool").sample(range(len(corpus)), min(_POOL, len(corpus)))
        self.pool = DialoguePool([corpus[index] for index in sorted(chosen)], single)

    def example(self, epoch: int, index: int) -> Example:
        dialogue, targets = pretraining_example(self.corpus[index], self.pool, self.seed, epoch, self.mixture)
        return Example(dialogue, targets, self.corpus.root(index))


class ExampleTable(Dataset[Example]):
    """Examples by (epoch, index), as a torch Dataset."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, key: tuple[int, int]) -> Example:
        return self.examples.example(*key)
