"""Labels for dialogues: what each task of a model predicts, with probabilities.

The prediction for a dialogue is batch-invariant: it depends on the model and the dialogue only, bitwise. Encoder batches
have one exact token length and dialogue batches one exact number of turns, so nothing is padded. Rows pass matrix products in
blocks of one size. One thread computes, because the share of each thread decides how sums are rounded; several processes use
several cores.

A dialogue with more than WINDOW turns is a batch of its own and is read in windows of turns. Memory then holds the texts and
sound of one window, and a vector for each turn. Turns interact only in the dialogue encoder, which sees the whole dialogue
(nn/dialogue_encoder.py), so windows change no label. Tasks about turns and spans are also decoded window by window, because
tags take much more memory than turns."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace

from labelgen.base.process import release_memory
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, Answers, AtGoal, AtSpan, AtTurn, Label, NoLabel
from labelgen.features.layout import Batch, FeatureTensors, Layout, States
from labelgen.feedback.items import goals_of
from labelgen.model.batches import Collator, Goals
from labelgen.model.label_model import LabelModel, Turns
from labelgen.tasks.task import Task

WINDOW = 512
"""Maximum number of turns that are read at once."""
_PREFETCH_TURNS = 2 * WINDOW
"""Approximate number of turns whose texts are encoded at once; has no influence on labels."""
_RELEASE_EVERY = 2
"""Runs of batches between two releases of memory, each of which takes about 10 ms."""


@dataclass(frozen=True)
class _Window:
    """Consecutive turns of a long dialogue, as a dialogue of its own; first: number of the first turn."""

    first: int
    layout: Layout
    states: States


@dataclass(frozen=True)
class EncodedDialogues:
    """Dialogues after the trunk. windows: of the one dialogue if it is long, else empty; with windows, `states` has no tokens."""

    layout: Layout
    states: States
    windows: tuple[_Window, ...] = ()

    def decode(self, model: LabelModel, task: Task[Any], layout: Layout) -> tuple[Answers, ...]:
        """Predictions of a task for each dialogue. layout: of the whole dialogues, perhaps with goals that were decoded before."""
        if not self.windows or not set(task.units) <= {"turn", "span"}:
            return task.decode(model.score(task.name, self.states, layout), layout)
        return (
            tuple(
                _moved(answer, w.first)
                for w in self.windows
                for answer in task.decode(model.score(task.name, w.states, w.layout), w.layout)[0]
            ),
        )


def encode_dialogues(
    model: LabelModel,
    collator: Collator,
    dialogues: Sequence[Dialogue],
    goals: Sequence[Goals],
    root: Path | None,
    causal: bool = False,
) -> EncodedDialogues:
    """Encode dialogues with one exact number of turns; with more than WINDOW turns, a single dialogue.

    Args:
        root: the folder that audio paths are relative to.
        causal: turns see no later turns."""
    device = next(model.parameters()).device
    roots = [root] * len(dialogues)
    if len(dialogues[0].turns) <= WINDOW:
        batch = collator.batch(dialogues, goals, roots).to(device)
        return EncodedDialogues(batch.layout, model.states(batch, model.encode(batch), causal=causal))
    (dialogue,) = dialogues
    whole = collator.batch(dialogues, goals, [None])
    parts = []
    for batch in _windows(collator, dialogue, root, whole.features):
        batch_on_device = batch.to(device)
        parts.append(
            (batch_on_device.layout, model.turns(batch_on_device, model.encode(batch_on_device), causal=causal))
        )
    layout = whole.to(device).layout
    turns, requests, responses = (
        torch.cat([getattr(part, name) for _, part in parts]) for name in ("turns", "requests", "responses")
    )
    plain = [part.without_texts for _, part in parts if part.without_texts is not None]
    states = model.in_dialogue(
        Turns(turns, requests, responses, None, torch.cat(plain) if plain else None), layout, causal
    )
    windows, first = [], 0
    for window, own_turns in parts:
        windows.append(_Window(first, window, _cut(states, first, own_turns)))
        first += window.turns[0]
    return EncodedDialogues(layout, states, tuple(windows))


def _windows(collator: Collator, dialogue: Dialogue, root: Path | None, features: FeatureTensors) -> Iterator[Batch]:
    """Windows of about equal size, with the features of the whole dialogue, because some depend on neighboring turns."""
    turns = len(dialogue.turns)
    count = -(-turns // WINDOW)
    for k in range(count):
        run = slice(k * turns // count, (k + 1) * turns // count)
        batch = collator.batch([replace(dialogue, turns=dialogue.turns[run])], [()], [root])
        values = {name: getattr(features, name)[run] for name in ("categories", "numbers", "present")}
        yield dataclasses.replace(batch, features=dataclasses.replace(batch.features, **values))


def _cut(states: States, first: int, turns: Turns) -> States:
    """States of a window, with its tokens."""
    run = slice(first, first + len(turns.turns))
    seen = states.turns[run]
    alone = seen if states.alone is states.turns else states.alone[run]
    return States(
        seen,
        alone,
        turns.requests,
        turns.responses,
        turns.tokens,
        states.labels,
        states.sees,
        without_texts=turns.without_texts,
    )


def _moved(answer: Label | NoLabel, first: int) -> Label | NoLabel:
    """An answer of a window, with turns numbered as in the dialogue."""
    assert isinstance(answer.at, AtTurn | AtSpan)
    return replace(answer, at=replace(answer.at, turn=answer.at.turn + first))


def annotate(
    model: LabelModel,
    dialogues: Sequence[Dialogue],
    goals_from: str | None = None,
    root: Path | None = None,
    autocast: AbstractContextManager[Any] | None = None,
    collator: Collator | None = None,
    online: bool = False,
) -> list[Answers]:
    """Predict all tasks for dialogues.

    Args:
        goals_from: annotator whose goals replace the predicted ones.
        root: the folder that audio paths are relative to.
        collator: of this model, to count audio errors over several calls.
        online: turns see no later turns.

    Returns: for each dialogue, the predictions of all tasks, in the order of the model's tasks; () for one without turns."""
    collator = collator or model.collator()
    answers: list[Answers] = [() for _ in dialogues]
    by_turns: dict[int, list[int]] = {}
    for k, dialogue in enumerate(dialogues):
        if dialogue.turns:
            by_turns.setdefault(len(dialogue.turns), []).append(k)
    training = model.training
    model.eval()
    encoder = model.turn_encoder
    with torch.inference_mode(), autocast or nullcontext(), one_thread():
        if encoder.prepared:
            encoder.state_cache.expect(_windows_of(collator, dialogues))
        sizes = [_size(collator, dialogue) for dialogue in dialogues]
        for n, run in enumerate(_runs(by_turns, sizes)):
            if encoder.prepared and len(run) > 1:
                encoder.prefetch(_windows_of(collator, [dialogues[k] for batch in run for k in batch]))
            for batch in run:
                predicted = _annotate_batch(model, collator, [dialogues[k] for k in batch], goals_from, root, online)
                for k, one in zip(batch, predicted, strict=True):
                    answers[k] = one
            # The tensors of the next run have other sizes and do not fit into the freed memory.
            if n % _RELEASE_EVERY == _RELEASE_EVERY - 1:
                release_memory()
    model.train(training)
    return answers


def _runs(by_turns: Mapping[int, Sequence[int]], sizes: Sequence[int]) -> Iterator[list[list[int]]]:
    """Runs of batches whose texts are encoded at once. A batch has the indices of dialogues with one number of turns. sizes: of each
    dialogue, in turns."""
    run: list[list[int]] = []
    total = 0
    for _, indices in sorted(by_turns.items()):
        for batch in _batches(indices, sizes):
            size = sum(sizes[k] for k in batch)
            if run and total + size > _PREFETCH_TURNS:
                yield run
                run, total = [], 0
            run.append(batch)
            total += size
    if run:
        yield run


def _batches(indices: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Neighbors with at most WINDOW turns together, or one dialogue."""
    batch: list[int] = []
    for k in indices:
        if batch and sum(sizes[j] for j in batch) + sizes[k] > WINDOW:
            yield batch
            batch = []
        batch.append(k)
    if batch:
        yield batch


def _size(collator: Collator, dialogue: Dialogue) -> int:
    """Turns of a dialogue, where a turn with long texts counts as several."""
    return -(-len(list(_windows_of(collator, [dialogue]))) // 2)


def _windows_of(collator: Collator, dialogues: Sequence[Dialogue]) -> Iterator[tuple[int, ...]]:
    """What the encoder reads for the texts of dialogues."""
    texts = [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.request, turn.response)]
    return (ids for tokens in collator.tokenizer(texts) for ids in tokens.windows)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, and restore the number of threads afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _annotate_batch(
    model: LabelModel,
    collator: Collator,
    dialogues: Sequence[Dialogue],
    goals_from: str | None,
    root: Path | None,
    online: bool,
) -> list[Answers]:
    """Dialogues with one exact number of turns."""
    goals = tuple(initial_goals(model, dialogue, goals_from) for dialogue in dialogues)
    encoded = encode_dialogues(model, collator, dialogues, goals, root, online)
    return decode_dialogues(model, encoded, list(model.tasks), goals_from is None)


def decode_dialogues(
    model: LabelModel, encoded: EncodedDialogues, names: Sequence[str], predict_goals: bool
) -> list[Answers]:
    """Predictions of these tasks for each encoded dialogue, in the order of their names.

    predict_goals: where one of the tasks divides dialogues, its goals replace those of the layout for the tasks about goals."""
    layout = encoded.layout
    by_name: dict[str, tuple[Answers, ...]] = {}
    for task in sorted((model.tasks[name] for name in names), key=lambda task: not task.divides):
        if task.hides_response:
            continue
        if "goal" in task.units and not task.divides and layout.goal_count == 0:
            by_name[task.name] = tuple(() for _ in layout.turns)
            continue
        by_name[task.name] = encoded.decode(model, task, layout)
        if task.divides and predict_goals:
            layout = layout.with_goals(tuple(_goals(answers) for answers in by_name[task.name]))
    decoded = [by_name[name] for name in names if name in by_name]
    return [tuple(answer for answers in decoded for answer in answers[b]) for b in range(len(layout.turns))]


def initial_goals(model: LabelModel, dialogue: Dialogue, annotator: str | None) -> Goals:
    """The annotator's goals; without annotator, none if the model predicts goals, else provisional ones as in feedback."""
    if annotator is None:
        divides = any(task.divides for task in model.tasks.values())
        return () if divides else tuple(goals_of(dialogue, None)[0])
    annotation = dialogue.annotation(annotator)
    return () if annotation is None else goals_in(annotation)


def goals_in(annotation: Annotation) -> Goals:
    """All goals that an annotation has labels at."""
    return tuple(sorted(set(_goals(annotation.labels))))


def _goals(answers: Iterable[Label | NoLabel]) -> Goals:
    return tuple(x.at.turns for x in answers if isinstance(x, Label) and isinstance(x.at, AtGoal))
