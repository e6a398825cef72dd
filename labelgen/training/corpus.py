"""Training data: logs spooled to disk, the choice of targets, and the examples of finetuning and pretraining.

The two commands differ in their examples alone. An example is a pure function of (seed, epoch, index)."""

import hashlib
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import IO, Protocol

import numpy as np
from msgspec.structs import replace
from torch.utils.data import Dataset

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.registry import resolve
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources, collect, merge
from labelgen.data.labels import Annotation, field_of, targets_of, tasks_of
from labelgen.data.log import Log, Quarantine, by_folder
from labelgen.data.reader import Options
from labelgen.data.record import decode, encode
from labelgen.data.split import fingerprint
from labelgen.feedback.masking import decoys, mask, mask_feedback
from labelgen.model.batches import Example
from labelgen.pretraining.corruption import DialoguePool, pretraining_example
from labelgen.tasks import TASKS
from labelgen.training.augmentation import interrupt, join_at_goals, wrong_goals
from labelgen.training.options import AugmentOptions, TargetOptions
from labelgen.training.sampler import Indices, word_count

_DRAWS = 8
Prepare = Callable[[Dialogue], Dialogue | None]
"""Reduces a dialogue to what is kept, with its targets; None drops it."""


class Corpus(Sequence[Dialogue]):
    """Random access to the prepared dialogues of several logs. They are spooled to a temporary file and decoded on access, so memory
    grows by some tens of bytes a dialogue.

    logs: number of logs. turns, words, log: size of each dialogue, and the index of its log. labels: label sets that the logs
    publish or their targets show. read: number of dialogues before any was dropped. digest: of all spooled records;
    fingerprints: of each dialogue. Unreadable records go to the quarantine. options: of the reader of the format."""

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
        self.logs = len(logs)
        self.labels: Sources = {}
        self.read = 0
        self.fingerprints = array("Q")
        self._roots: list[Path] = []
        self._columns = {column: array("q") for column in ("end", "turns", "words", "log", "root")}
        self._digest = hashlib.sha256()
        # The file has no name on disk, so nothing is left behind however the process ends.
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            for number, path in enumerate(logs):
                for root, files in by_folder(Path(path), format):
                    part = Log(files, format, options, quarantine, max_bad_rate)
                    self.labels = merge(self.labels, part.labels())
                    self._roots.append(root)
                    self._add(progress(part, f"{name}: read {path}", "dialogues"), number, prepare)
            with _spool_errors():
                self._spool.flush()
            columns = {column: np.array(values, dtype=np.int64) for column, values in self._columns.items()}
            self._ends, self._root = np.concatenate([[0], columns["end"]]), columns["root"]
            self.turns, self.words, self.log = (columns[column] for column in ("turns", "words", "log"))
            self.digest = self._digest.hexdigest()
            self.labels = merge(self.labels, collect((d.source, t) for d in self for t in d.targets))
        except BaseException:
            with suppress(OSError):  # closing tries again to write what could not be written
                self.close()
            raise

    def _add(self, dialogues: Iterable[Dialogue], log: int, prepare: Prepare) -> None:
        columns = self._columns
        end = columns["end"][-1] if columns["end"] else 0
        for dialogue in dialogues:
            self.read += 1
            prepared = prepare(dialogue)
            if prepared is None or not prepared.turns:
                continue
            line = encode(prepared)
            with _spool_errors():
                self._spool.write(line)
            self._digest.update(line)
            self.fingerprints.append(fingerprint(dialogue))
            end += len(line)
            words = word_count([text for turn in prepared.turns for text in (turn.request, turn.response)])
            row = (end, len(prepared.turns), words, log, len(self._roots) - 1)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)

    def close(self) -> None:
        """Free the disk space."""
        self._spool.close()

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, index: int) -> Dialogue:  # type: ignore[override]
        start, end = int(self._ends[index]), int(self._ends[index + 1])
        # pread, because the loader's processes share one file position.
        dialogue = decode(os.pread(self._spool.fileno(), end - start, start), "the spool")
        if not isinstance(dialogue, Dialogue):
            raise IntegrityError(f"a prepared record cannot be read back: {dialogue.reason}", dialogue.where())
        return dialogue

    def __iter__(self) -> Iterator[Dialogue]:
        return (self[index] for index in range(len(self)))

    def root(self, index: int) -> Path:
        """Folder of a dialogue's relative audio paths."""
        return self._roots[int(self._root[index])]


@contextmanager
def _spool_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the training dialogues cannot be written to a temporary file: {error.strerror}",
            tempfile.gettempdir(),
            "free some room there, or name another disk by TMPDIR",
        ) from error


class ChosenTargets:
    """Choice of targets by the options: the dialogue with its targets, or None if it has no target of the tasks.

    If several annotators match, the labels of each are targets, and the weights of an annotator's targets sum to their share. So
    the model learns the distribution of the annotators' labels. A consensus would lose that distribution, and every tie."""

    def __init__(self, options: TargetOptions, tasks: Collection[str]) -> None:
        self.options = options
        self.tasks = frozenset(tasks)
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
        return replace(dialogue, targets=used, annotations=()) if used else None


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
    """Examples of finetuning: dialogues with the targets that the corpus was prepared with.

    hidden: probability that the feedback which supports a dialogue's own targets is masked. augment: changes of the
    dialogues, drawn anew in each epoch."""

    def __init__(self, corpus: Corpus, hidden: float, seed: int, augment: AugmentOptions | None = None) -> None:
        self.corpus = corpus
        self.hidden = hidden
        self.seed = seed
        self.augment = augment or AugmentOptions()

    def example(self, epoch: int, index: int) -> Example:
        dialogue = self.corpus[index]
        rng = Random(f"{self.seed}/{epoch}/{dialogue.id}")
        dialogue = self._masked(dialogue, rng)
        if self.augment.joined and rng.random() < self.augment.joined:
            other = self._another(index, dialogue, rng)
            dialogue = (other and join_at_goals(dialogue, self._masked(other, rng), rng)) or dialogue
        if self.augment.interrupted and rng.random() < self.augment.interrupted:
            other = self._another(index, dialogue, rng)
            dialogue = (other and interrupt(dialogue, self._masked(other, rng), rng)) or dialogue
        if self.augment.wrong_goals:
            more = wrong_goals(dialogue, self.augment.wrong_goals, rng)
            dialogue = replace(dialogue, targets=(*dialogue.targets, *more))
        return _example(self.corpus, index, dialogue)

    def _masked(self, dialogue: Dialogue, rng: Random) -> Dialogue:
        if self.hidden and rng.random() < self.hidden:
            return mask(dialogue, (*dialogue.signals, *decoys(dialogue, dialogue.signals, rng)))
        return dialogue

    def _another(self, index: int, dialogue: Dialogue, rng: Random) -> Dialogue | None:
        """A dialogue of the same log and source, which has the same labels; None if a few draws find none."""
        for _ in range(_DRAWS):
            drawn = rng.randrange(len(self.corpus))
            if drawn != index and self.corpus.log[drawn] == self.corpus.log[index]:
                other = self.corpus[drawn]
                if other.source == dialogue.source:
                    return other
        return None


class HeldOutExamples:
    """Examples for the validation loss, equal in every epoch. hidden: masks all feedback."""

    def __init__(self, corpus: Corpus, hidden: bool) -> None:
        self.corpus = corpus
        self.hidden = hidden

    def example(self, epoch: int, index: int) -> Example:
        dialogue = self.corpus[index]
        return _example(self.corpus, index, mask_feedback(dialogue) if self.hidden else dialogue)


def _example(corpus: Corpus, index: int, dialogue: Dialogue) -> Example:
    return Example(replace(dialogue, targets=(), signals=()), dialogue.targets, corpus.root(index))


class CorruptedExamples:
    """Examples of pretraining: every dialogue once an epoch, each time with a new random corruption. Parts of other dialogues come from
    a pool in memory."""

    def __init__(self, corpus: Corpus, mixture: Mapping[str, float], pool: int, seed: int, single: float = 1.0) -> None:
        self.corpus = corpus
        self.mixture = mixture
        self.seed = seed
        chosen = Random(f"{seed}/pool").sample(range(len(corpus)), min(pool, len(corpus)))
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
