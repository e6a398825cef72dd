"""Dialogues read for labeling: as one batch, or, where a dialogue is long, a window of its turns at a time.

What stands in memory of a long dialogue is then a window's texts and sound, and vectors of its turns. Turns meet in the
dialogue encoder alone, which sees the whole dialogue (nn/dialogue_encoder.py), so that windows change nothing of what is said;
tasks about turns and spans are decoded window by window too, since tags take much more room than turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan, AtTurn
from labelgen.features.layout import Batch, FeatureTensors, Layout, States
from labelgen.model.collate import Collator, Goals
from labelgen.model.label_model import LabelModel, Turns
from labelgen.tasks.task import Answers, Task

WINDOW = 512
"""Most turns that are read at once; dialogues of no more than these are read several at a time."""


@dataclass(frozen=True)
class _Window:
    """A run of turns of a long dialogue, as if it were one; first: its first turn."""

    first: int
    layout: Layout
    states: States


@dataclass(frozen=True)
class Read:
    """windows: of the one dialogue where it is long, else none; with windows, `states` has no tokens."""

    layout: Layout
    states: States
    windows: tuple[_Window, ...] = ()

    def decode(self, model: LabelModel, task: Task[Any], layout: Layout) -> tuple[Answers, ...]:
        """What a task says of each dialogue. layout: of the whole, by now perhaps with goals."""
        head = model.heads[task.name]
        if not self.windows or not set(task.units) <= {"turn", "span"}:
            return task.decode(head(self.states, layout), layout)
        said = [_moved(task.decode(head(w.states, w.layout), w.layout)[0], w.first) for w in self.windows]
        return (
            Answers(
                tuple(label for one in said for label in one.labels),
                tuple(field for one in said for field in one.none),
                tuple(p for one in said for p in one.none_probabilities),
            ),
        )


def read(
    model: LabelModel,
    collator: Collator,
    dialogues: Sequence[Dialogue],
    goals: Sequence[Goals],
    roots: Sequence[Path | None],
    causal: bool = False,
) -> Read:
    """Dialogues of one exact number of turns; of more than WINDOW turns, one dialogue. causal: turns see no later ones."""
    device = next(model.parameters()).device
    if len(dialogues[0].turns) <= WINDOW:
        batch = collator.batch(dialogues, goals, roots).to(device)
        return Read(batch.layout, model.states(batch, model.encode(batch), causal=causal))
    (dialogue,), (root,) = dialogues, roots
    whole = collator.batch(dialogues, goals, [None])
    parts = []
    for batch in _windows(collator, dialogue, root, whole.features):
        own = batch.to(device)
        parts.append((own.layout, model.by_itself(own, model.encode(own), causal=causal)))
    layout = whole.to(device).layout
    states = model.in_dialogue(_joined([turns for _, turns in parts]), layout, causal)
    windows, first = [], 0
    for part, turns in parts:
        windows.append(_Window(first, part, _cut(states, first, turns)))
        first += part.turns[0]
    return Read(layout, states, tuple(windows))


def _windows(collator: Collator, dialogue: Dialogue, root: Path | None, features: FeatureTensors) -> Iterator[Batch]:
    """Runs of about equally many turns; features are those that the whole dialogue has, where turns know their neighbors."""
    turns = len(dialogue.turns)
    count = -(-turns // WINDOW)
    for k in range(count):
        run = slice(k * turns // count, (k + 1) * turns // count)
        batch = collator.batch([replace(dialogue, turns=dialogue.turns[run])], [()], [root])
        own = {name: getattr(features, name)[run] for name in ("categories", "numbers", "present")}
        yield replace(batch, features=replace(batch.features, **own))


def _joined(parts: Sequence[Turns]) -> Turns:
    return Turns(
        torch.cat([part.turns for part in parts]),
        torch.cat([part.requests for part in parts]),
        torch.cat([part.responses for part in parts]),
        None,
    )


def _cut(states: States, first: int, turns: Turns) -> States:
    """The states of a window's turns, with its tokens."""
    run = slice(first, first + len(turns.turns))
    seen = states.turns[run]
    alone = seen if states.alone is states.turns else states.alone[run]
    return States(seen, alone, turns.requests, turns.responses, turns.tokens, states.labels, states.sees)


def _moved(said: Answers, first: int) -> Answers:
    """With the numbers that the turns have in their dialogue."""
    labels = []
    for label in said.labels:
        assert isinstance(label.at, AtTurn | AtSpan)
        labels.append(replace(label, at=replace(label.at, turn=label.at.turn + first)))
    none = []
    for field in said.none:
        assert isinstance(field.at, AtTurn)
        none.append(replace(field, at=AtTurn(field.at.turn + first)))
    return Answers(tuple(labels), tuple(none), said.none_probabilities)
