"""Dialogues to annotations: what a model says of them, each label with its probability.

What it says of a dialogue depends on the model and the dialogue alone, to the last bit: encoder batches hold one exact
token length, dialogue batches one exact number of turns (a long dialogue is a batch of its own, read in windows), nothing
is padded, rows pass a product in blocks of one size, and one thread computes (with two, the share
of each decides how sums are rounded). Several processes use several cores.

Dialogues read for labeling: as one batch, or, where a dialogue is long, a window of its turns at a time.

What stands in memory of a long dialogue is then a window's texts and sound, and vectors of its turns. Turns meet in the
dialogue encoder alone, which sees the whole dialogue (nn/dialogue_encoder.py), so that windows change nothing of what is said;
tasks about turns and spans are decoded window by window too, since tags take much more room than turns."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace

from labelgen.base.process import release_memory
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, AtSpan, AtTurn
from labelgen.features.layout import Batch, FeatureTensors, Layout, States
from labelgen.feedback.items import goals_of
from labelgen.model.batches import Collator, Goals
from labelgen.model.label_model import LabelModel, Turns
from labelgen.tasks.task import Answers, Task

WINDOW = 512
"""Most turns that are read at once; dialogues of no more than these are read several at a time."""
_AHEAD = 2 * WINDOW
"""Turns whose texts are encoded at once, about; of no influence on what is said."""
_GIVE_BACK_EVERY = 2
"""Runs of batches after which freed memory goes back to the system, which takes about a hundredth of a second."""


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
        yield dataclasses.replace(batch, features=dataclasses.replace(batch.features, **own))


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
            model.turn_encoder.state_cache.expect(tokens.ids for tokens in collator.tokenizer(_texts(dialogues)))
        for n, run in enumerate(_runs(by_turns)):
            if model.turn_encoder.prepared and len(run) > 1:
                texts = _texts([dialogues[k] for group in run for k in group])
                model.turn_encoder.prefetch(tokens.ids for tokens in collator.tokenizer(texts))
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
