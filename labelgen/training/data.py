"""What a model is shown: examples from annotated logs (finetune) and from unlabeled ones (pretrain).

The two commands differ in this file alone. An example is a pure function of (seed, epoch, index)."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from random import Random
from typing import Protocol

from torch.utils.data import Dataset

from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Target, targets_of
from labelgen.data.labels import Annotation, field_of, tasks_of
from labelgen.feedback.masking import decoys, mask, mask_feedback
from labelgen.model.batches import Example
from labelgen.pretraining.corruption import Pool, pretraining_example
from labelgen.tasks import TASKS
from labelgen.training.corpus import Corpus
from labelgen.training.options import TargetOptions


class Examples(Protocol):
    corpus: Corpus

    def example(self, epoch: int, index: int) -> Example: ...


class AnnotatedExamples:
    """Dialogues with the targets that the corpus was prepared with.

    hidden: probability that a dialogue is shown without the evidence of its own targets."""

    def __init__(self, corpus: Corpus, hidden: float, seed: int) -> None:
        self.corpus = corpus
        self.hidden = hidden
        self.seed = seed

    def example(self, epoch: int, index: int) -> Example:
        dialogue = self.corpus[index]
        rng = Random(f"{self.seed}/{epoch}/{dialogue.id}")
        if self.hidden and rng.random() < self.hidden:
            dialogue = mask(dialogue, (*dialogue.signals, *decoys(dialogue, dialogue.signals, rng)))
        return Example(_shown(dialogue), dialogue.targets, self.corpus.root(index))


class HeldOutExamples:
    """Dialogues to measure the loss on, the same in every epoch. hidden: all are shown without any evidence."""

    def __init__(self, corpus: Corpus, hidden: bool) -> None:
        self.corpus = corpus
        self.hidden = hidden

    def example(self, epoch: int, index: int) -> Example:
        dialogue = mask_feedback(self.corpus[index]) if self.hidden else self.corpus[index]
        return Example(_shown(dialogue), dialogue.targets, self.corpus.root(index))


def _shown(dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, targets=(), signals=())


class CorruptedExamples:
    """Every dialogue once an epoch, by a corruption drawn anew each time; others come from a pool in memory."""

    def __init__(self, corpus: Corpus, mixture: Mapping[str, float], pool: int, seed: int) -> None:
        self.corpus = corpus
        self.mixture = mixture
        self.seed = seed
        chosen = Random(f"{seed}/pool").sample(range(len(corpus)), min(pool, len(corpus)))
        self.pool = Pool([corpus[index] for index in sorted(chosen)])

    def example(self, epoch: int, index: int) -> Example:
        dialogue, targets = pretraining_example(self.corpus[index], self.pool, self.seed, epoch, self.mixture)
        return Example(dialogue, targets, self.corpus.root(index))


class ExampleTable(Dataset[Example]):
    """Examples by (epoch, index), as torch's data loader asks for them."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, key: tuple[int, int]) -> Example:
        return self.examples.example(*key)


class ChosenTargets:
    """A dialogue with the targets that the options choose, or None where it has none of the tasks.

    Where several annotators fit, each one's labels are targets, with a share of one: where they differ, a name, a tag or
    a link is as probable as the share of them that give it. A consensus would lose that, and all that is tied."""

    def __init__(self, options: TargetOptions, tasks: Collection[str]) -> None:
        self.options = options
        self.tasks = frozenset(tasks)
        known = {name: resolve(TASKS, name, "task") for name in TASKS}
        self._exclusive = frozenset(n for n, task in known.items() if task.names is not None and not task.divides)

    def __call__(self, dialogue: Dialogue) -> Dialogue | None:
        chosen = [a for a in dialogue.annotations if any(_fits(a, name) for name in self.options.annotators)]
        answering = Counter(task for a in chosen for task in tasks_of(a))
        said = [t for a in chosen for t in targets_of(a)]
        targets = [replace(t, weight=1.0 / answering[t.task]) for t in said if self._tells(t)]
        if self.options.feedback:
            taken = {field_of(t.task, t.at) for t in targets}
            targets += [t for t in dialogue.targets if field_of(t.task, t.at) not in taken]
        kept = tuple(t for t in targets if t.task in self.tasks and t.weight > 0.0)
        return replace(dialogue, targets=kept, annotations=()) if kept else None

    def _tells(self, target: Target) -> bool:
        """False where none of an exclusive task's names could be told: that is nothing to learn."""
        return bool(target.distribution) or target.task not in self._exclusive


def _fits(annotation: Annotation, pattern: str) -> bool:
    kind, equals, name = pattern.partition("=")
    if equals and kind == "kind":
        return annotation.kind == name
    return fnmatchcase(annotation.annotator, pattern)


def without_labels(dialogue: Dialogue) -> Dialogue:
    """What pretraining may see of a dialogue."""
    return replace(dialogue, annotations=(), targets=(), signals=())


def target_counts(corpus: Sequence[Dialogue]) -> dict[str, int]:
    """Targets of each task."""
    counts: dict[str, int] = {}
    for dialogue in corpus:
        for target in dialogue.targets:
            counts[target.task] = counts.get(target.task, 0) + 1
    return dict(sorted(counts.items()))
