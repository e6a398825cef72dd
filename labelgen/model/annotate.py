"""Dialogues to annotations: what a model says of them, each label with its probability.

What it says of a dialogue depends on the model and the dialogue alone, to the last bit: encoder batches hold one exact
token length, dialogue batches one exact number of turns (a long dialogue is a batch of its own, read in windows), nothing
is padded, rows pass a product in blocks of one size, and one thread computes (with two, the share
of each decides how sums are rounded). Several processes use several cores."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from labelgen.base.process import release_memory
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal
from labelgen.features.layout import Layout
from labelgen.feedback.goals import goals_of
from labelgen.model.collate import Collator, Goals
from labelgen.model.label_model import LabelModel
from labelgen.model.reading import WINDOW, Read, read
from labelgen.tasks.task import Answers, Task

_AHEAD = 2 * WINDOW
"""Turns whose texts are encoded at once, about; of no influence on what is said."""
_GIVE_BACK_EVERY = 2
"""Runs of batches after which freed memory goes back to the system, which takes about a hundredth of a second."""


def annotate(
    model: LabelModel,
    dialogues: Sequence[Dialogue],
    goals_from: str | None = None,
    root: Path | None = None,
    autocast: AbstractContextManager[Any] | None = None,
    collator: Collator | None = None,
    online: bool = False,
) -> list[list[Answers]]:
    """What each task says of each dialogue, in the order of the model's tasks; an empty list for one without turns.
    collator: of this model; it counts what sound it could not read. None makes one. online: turns see no later ones."""
    collator = collator or model.collator()
    said: list[list[Answers]] = [[] for _ in dialogues]
    by_turns: dict[int, list[int]] = {}
    for k, dialogue in enumerate(dialogues):
        if dialogue.turns:
            by_turns.setdefault(len(dialogue.turns), []).append(k)
    training = model.training
    model.eval()
    with torch.inference_mode(), autocast or nullcontext(), one_thread():
        if model.turn_encoder.prepared:
            model.turn_encoder.memory.expect(tokens.ids for tokens in collator.tokenizer(_texts(dialogues)))
        for n, run in enumerate(_runs(by_turns)):
            if model.turn_encoder.prepared and len(run) > 1:
                texts = _texts([dialogues[k] for group in run for k in group])
                model.turn_encoder.read_ahead(tokens.ids for tokens in collator.tokenizer(texts))
            for group in run:
                own = _annotate_group(model, collator, [dialogues[k] for k in group], goals_from, root, online)
                for place, one in zip(group, own, strict=True):
                    said[place] = one
            # The next run's tensors are of other sizes, and do not fit where this one's were.
            if n % _GIVE_BACK_EVERY == _GIVE_BACK_EVERY - 1:
                release_memory()
    model.train(training)
    return said


def _runs(by_turns: Mapping[int, Sequence[int]]) -> Iterator[list[list[int]]]:
    """Batches of dialogues of one number of turns, by their numbers; those of a run are encoded at once."""
    run: list[list[int]] = []
    held = 0
    for turns, places in sorted(by_turns.items()):
        size = max(1, WINDOW // turns)
        for start in range(0, len(places), size):
            group = list(places[start : start + size])
            if run and held + turns * len(group) > _AHEAD:
                yield run
                run, held = [], 0
            run.append(group)
            held += turns * len(group)
    if run:
        yield run


def _texts(dialogues: Sequence[Dialogue]) -> list[str]:
    return [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.request, turn.response)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread, and on as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _annotate_group(
    model: LabelModel,
    collator: Collator,
    dialogues: Sequence[Dialogue],
    goals_from: str | None,
    root: Path | None,
    online: bool,
) -> list[list[Answers]]:
    """Dialogues of one exact number of turns."""
    divides = any(task.divides for task in model.tasks.values())
    given = tuple(_given_goals(d, goals_from, divides) for d in dialogues)
    seen = read(model, collator, dialogues, given, [root] * len(dialogues), online)
    said: list[list[Answers]] = [[] for _ in dialogues]
    layout = seen.layout
    ordered = sorted(model.tasks.values(), key=lambda task: not task.divides)
    by_name: dict[str, tuple[Answers, ...]] = {}
    for task in ordered:
        if task.hides_response:
            continue
        decoded = _decode(model, task, seen, layout)
        if task.divides and goals_from is None:
            layout = layout.with_goals(tuple(_labeled_goals(a) for a in decoded))
        by_name[task.name] = decoded
    for name in model.tasks:
        for b, own in enumerate(by_name.get(name, ())):
            said[b].append(own)
    return said


def _decode(model: LabelModel, task: Task[Any], seen: Read, layout: Layout) -> tuple[Answers, ...]:
    if "goal" in task.units and not task.divides and layout.goal_count == 0:
        return tuple(Answers() for _ in layout.turns)
    return seen.decode(model, task, layout)


def _given_goals(dialogue: Dialogue, annotator: str | None, divides: bool) -> Goals:
    """The annotator's goals; none where the model divides dialogues itself; else provisional ones, as feedback has."""
    if annotator is None:
        return () if divides else tuple(goals_of(dialogue, None)[0])
    annotation = dialogue.annotation(annotator)
    if annotation is None:
        return ()
    return tuple(sorted({label.at.turns for label in annotation.labels if isinstance(label.at, AtGoal)}))


def _labeled_goals(decoded: Answers) -> Goals:
    return tuple(label.at.turns for label in decoded.labels if isinstance(label.at, AtGoal))
