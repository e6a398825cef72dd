"""Labels for dialogues: what each task of a model predicts, with probabilities.

Labels are a function of the model and of the dialogues of one call, such as a shard: dialogues are sorted by size and padded to batches,
and texts of a batch by length. The last digits of probabilities may change with the other dialogues of a batch. One thread computes,
because the share of each thread decides how sums are rounded; several processes use several cores."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from labelgen.base.process import release_memory
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, Answers, AtGoal, Label, NoLabel
from labelgen.features.layout import Layout, States
from labelgen.feedback.items import goals_of, items_at
from labelgen.kernels.device import one_thread
from labelgen.model.batches import Collator, Goals
from labelgen.model.label_model import LabelModel
from labelgen.verdicts.witnesses import GOOD, statements_of, witness_words

_TINY = 1e-12
BATCH_TEXTS = 2048
"""Texts of a batch, padding to the longest dialogue included; a larger dialogue is a batch of its own."""


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
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode(), autocast or nullcontext(), one_thread():
        for indices in _batches([_texts_of(collator, dialogue) for dialogue in dialogues]):
            members = [dialogues[k] for k in indices]
            goals = tuple(initial_goals(model, dialogue, goals_from) for dialogue in members)
            batch = collator.batch(members, goals, [root] * len(members)).to(device)
            states = model.states(batch, model.encode(batch), causal=online)
            decoded = decode_dialogues(model, states, batch.layout, list(model.tasks), goals_from is None)
            for k, one in zip(indices, decoded, strict=True):
                answers[k] = one
            # The tensors of the next batch have other sizes and do not fit into the freed memory.
            del batch, states
            release_memory()
    model.train(training)
    return answers


def reasons(model: LabelModel, dialogue: Dialogue, root: Path | None = None) -> list[tuple[Label, str]]:
    """The labels of goals, turns and the dialogue whose model has witnesses, each with its reason: the log-odds of good by content and
    by each witness, whose sum is that of the label, and by how much names are weighted; or the facts that spoke for it, its origin."""
    found = []
    (answers,) = annotate(model, [dialogue], root=root)
    for label in answers:
        settings = model.linear_settings().get(label.task, {}).get(UNIT_OF[type(label.at)])
        if settings is None or not isinstance(label, Label) or not label.distribution:
            continue
        if label.origin is not None or not model.linear_member(label.task).has_witnesses:
            found.append((label, label.origin or "no reason stands out"))
            continue
        names = sorted(label.distribution, key=lambda one: GOOD[one[0]])
        total = math.log(max(names[-1][1], _TINY) / max(names[0][1], _TINY))
        (item,) = items_at(dialogue, [label.at])
        said = statements_of(item)
        content = total - settings.rates.total(said)
        words = witness_words(settings.rates, said)
        text = f"content {content:+.2f}{', ' if words else ''}{words}; sum {total:+.2f} for {names[-1][0]} against {names[0][0]}"
        if settings.factors:
            text += "; weights " + ", ".join(
                f"{name.name} {factor:.2f}"
                for name, factor in zip(model.tasks[label.task].labels.names, settings.factors, strict=True)
            )
        found.append((label, text))
    return found


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of dialogues of about one size, with at most BATCH_TEXTS texts after padding. sizes: in texts; empty dialogues are left out."""
    batch: list[int] = []
    for k in sorted((k for k, size in enumerate(sizes) if size), key=lambda k: sizes[k]):
        if batch and (len(batch) + 1) * sizes[k] > BATCH_TEXTS:
            yield batch
            batch = []
        batch.append(k)
    if batch:
        yield batch


def _texts_of(collator: Collator, dialogue: Dialogue) -> int:
    """Number of texts that the encoder reads; a long text is several."""
    texts = [text for turn in dialogue.turns for text in (turn.request, turn.response)]
    return sum(len(tokens.windows) for tokens in collator.tokenizer(texts))


def decode_dialogues(
    model: LabelModel, states: States, layout: Layout, names: Sequence[str], predict_goals: bool
) -> list[Answers]:
    """Predictions of these tasks for each dialogue, in the order of their names.

    predict_goals: where one of the tasks divides dialogues, its goals replace those of the layout for the tasks about goals."""
    by_name: dict[str, tuple[Answers, ...]] = {}
    for task in sorted((model.tasks[name] for name in names), key=lambda task: not task.divides):
        if task.hides_response:
            continue
        if "goal" in task.units and not task.divides and layout.goal_count == 0:
            by_name[task.name] = tuple(() for _ in layout.turns)
            continue
        by_name[task.name] = model.decode(task.name, model.score(task.name, states, layout), layout, states.online)
        if task.divides and predict_goals:
            layout = layout.with_goals(tuple(_goals(answers) for answers in by_name[task.name]))
        layout = task.inform(by_name[task.name], layout)
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
