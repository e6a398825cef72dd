"""Dialogues and their targets into one batch of tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import domains_on_offer
from labelgen.data.labels import AtGoal, Target, divides
from labelgen.features.features import FeatureSet
from labelgen.features.layout import Batch, Layout, Voice, relations_of
from labelgen.features.text import Tokenizer, group_passages
from labelgen.features.voice import SoundSource, sound_tensors
from labelgen.tasks.task import Task

Goals = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A dialogue and what the model is trained towards on it. root: the folder that its audio paths start from."""

    dialogue: Dialogue
    targets: tuple[Target, ...] = ()
    root: Path | None = None


class Collator:
    """Examples to a Batch. A pure function of its arguments; can be sent to the processes of a data loader.

    domains_from: a field of the record that names the domains on offer in a dialogue, whose labels alone may then be given."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        features: FeatureSet,
        tasks: Mapping[str, Task[Any]],
        sound: SoundSource | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.features = features
        self.tasks = tasks
        self.sound = sound
        self.reads_relations = any(task.reads_relations for task in tasks.values())
        self.domains_from: str | None = None

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Dialogues without turns are left out. Raises ValueError if none is left: there would be nothing to compute."""
        examples = [e for e in examples if e.dialogue.turns]
        if not examples:
            raise ValueError("a batch needs a dialogue with turns")
        goals = tuple(_goals_of(e.targets, set(self.tasks)) for e in examples)
        batch = self.batch([e.dialogue for e in examples], goals, [e.root for e in examples])
        targets = {
            name: task.encode([[t for t in e.targets if t.task == name] for e in examples], batch.layout)
            for name, task in self.tasks.items()
        }
        weights = {name: float(target.total_weight()) for name, target in targets.items()}
        return replace(batch, targets=targets, target_weights=weights)

    def batch(self, dialogues: Sequence[Dialogue], goals: Sequence[Goals], roots: Sequence[Path | None]) -> Batch:
        """A batch without targets; every dialogue has turns."""
        turns = [turn for dialogue in dialogues for turn in dialogue.turns]
        requests = self.tokenizer([turn.request for turn in turns])
        responses = self.tokenizer([turn.response for turn in turns])
        passages = group_passages(requests, responses)
        spans = [span for tokens in requests for span in tokens.spans]
        counts = tuple(len(tokens.ids) for tokens in requests)
        voices = self.voices(dialogues, roots)
        layout = Layout(
            turns=tuple(len(d.turns) for d in dialogues),
            sources=tuple(d.source for d in dialogues),
            domains=tuple(
                None if self.domains_from is None else domains_on_offer(d, self.domains_from) for d in dialogues
            ),
            goals=tuple(goals),
            dialogue_of=torch.tensor([b for b, d in enumerate(dialogues) for _ in d.turns], dtype=torch.long),
            position=torch.tensor([t for d in dialogues for t in range(len(d.turns))], dtype=torch.long),
            token_turn=torch.repeat_interleave(torch.arange(len(turns)), torch.tensor(counts)),
            token_start=torch.tensor([start for start, _ in spans], dtype=torch.long),
            token_end=torch.tensor([end for _, end in spans], dtype=torch.long),
            token_counts=counts,
            response_of=passages.response,
            relations=relations_of(dialogues) if self.reads_relations else None,
            dialogues=tuple(dialogues),
            voices=voices,
        )
        return Batch(layout, passages, self.features.tensors(dialogues), sound_tensors(voices), {}, {})

    def voices(self, dialogues: Sequence[Dialogue], roots: Sequence[Path | None]) -> tuple[Voice | None, ...]:
        """How each turn of the dialogues sounds; () where no sound is read."""
        if self.sound is None:
            return ()
        return tuple(voice for one in map(self.sound.voices, dialogues, roots) for voice in one)


def _goals_of(targets: Sequence[Target], tasks: set[str]) -> Goals:
    """Every set of turns that a target of one of the tasks is about, in the order of their first turns; turns that a division covers
    are no goal."""
    about = (t for t in targets if t.task in tasks and (t.distribution or not divides(t.task)))
    return tuple(sorted({t.at.turns for t in about if isinstance(t.at, AtGoal)}))
