"""A new model from options, label sets and a training log; and a model with other labels from a trained one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import LabelSet, Sources, carry_company, label_set, with_company
from labelgen.features.features import FeatureSet, learn_features
from labelgen.features.pretrained import encoder_origin, load_encoder, load_speech_encoder, load_tokenizer, most_tokens
from labelgen.features.text import WINDOWS, Tokenizer
from labelgen.features.voice import LogMelEncoder, SoundEncoder, SoundSource, SpeechEncoder
from labelgen.model.label_model import LabelModel, Linear
from labelgen.model.linear import fit_linear
from labelgen.model.options import ModelOptions
from labelgen.nn.turn_encoder import check_encoder
from labelgen.tasks import TASKS, TaskOptions
from labelgen.tasks.task import Task, fixed_labels


def build_model(
    options: ModelOptions,
    tasks: Mapping[str, TaskOptions],
    labels: Sources,
    dialogues: Collection[Dialogue],
    from_feedback: bool = False,
    root: Callable[[int], Path | None] = lambda _: None,
) -> LabelModel:
    """A model with pretrained encoder and new heads. labels: per source and task, for tasks whose labels depend on the
    corpus. dialogues: the training log, from which the features are learned. from_feedback: its targets come from feedback.
    root: folder of the audio paths of the dialogue with a number.

    Raises UsageError for an unknown task, or a task that has no labels; for a feature to be left out that there is not; for
    more tokens than the encoder has places for; and for an encoder that fails its self-check."""
    made = make_tasks(tasks, labels, dialogues)
    encoder = load_encoder(options.encoder, attention_dropout=0.0)
    places = most_tokens(encoder)
    if places is not None and options.max_tokens > places:
        raise UsageError(
            f"{options.encoder} reads {places} tokens of a text at most, not {options.max_tokens}",
            "model.max_tokens",
            f"give {places} or less",
        )
    sound = sound_encoder(options)
    source = None if sound is None else SoundSource(sound)
    voices_of = None if source is None else lambda number, dialogue: source.voices(dialogue, root(number))
    fits = fit_linear(made, dialogues, from_feedback, options.leave_out, voices_of)
    model = assemble(
        options,
        made,
        learn_features(dialogues, options.leave_out, options.words),
        encoder,
        load_tokenizer(options.encoder),
        encoder_origin(options.encoder),
        {name: {unit: fit.settings for unit, fit in by_unit.items()} for name, by_unit in fits.items()},
        sound,
    )
    check_encoder(model.turn_encoder, options.encoder, options.max_tokens)
    for name, by_unit in fits.items():
        for unit, fit in by_unit.items():
            model.linear_member(name).fill(unit, fit.map)
            model.linear_member(name).held_out[unit] = fit.held_out
    return model


def make_tasks(
    tasks: Mapping[str, TaskOptions], labels: Sources, dialogues: Collection[Dialogue] = ()
) -> dict[str, Task[Any]]:
    """The task objects of a model. dialogues: the training log; its targets tell which labels occur together."""
    kinds: dict[str, type[Task[Any]]] = {name: resolve(TASKS, name, "task") for name in tasks}
    sets = {name: fixed_labels(kind) or label_set(name, labels) for name, kind in kinds.items()}
    if unlabeled := [name for name in tasks if not sets[name].names]:
        raise _without_labels(unlabeled, {name: options for name, options in tasks.items() if name not in unlabeled})
    made = {}
    for name, kind in kinds.items():
        labels_of_task = sets[name]
        if kind.gives_several:
            labels_of_task = with_company(
                labels_of_task, (target for dialogue in dialogues for target in dialogue.targets)
            )
        made[name] = kind(labels_of_task, tasks[name])
    return made


def _without_labels(unlabeled: Sequence[str], others: Mapping[str, TaskOptions]) -> UsageError:
    """Names every such task at once, with the option that trains the others."""
    kept = ", ".join(f"{name}: {{{_changed(options)}}}" for name, options in others.items())
    leave = f"leave them out by --tasks '{{{kept}}}', or " if others else ""
    return UsageError(
        f"no labels for the tasks {', '.join(unlabeled)}",
        "tasks",
        f"{leave}give a log that names some: in annotations, in a labels.json beside it, or in hypotheses with feedback",
    )


def _changed(options: TaskOptions) -> str:
    values = {item.name: getattr(options, item.name) for item in fields(options)}
    return ", ".join(f"{name}: {value}" for name, value in values.items() if value != getattr(TaskOptions(), name))


def assemble(
    options: ModelOptions,
    tasks: Mapping[str, Task[Any]],
    features: FeatureSet,
    encoder: Any,
    tokenizer: Any,
    origin: Mapping[str, Any],
    linear: Linear = MappingProxyType({}),
    sound: SoundEncoder | None = None,
) -> LabelModel:
    """Put the parts of a model together, its tasks in the registry's order; its new weights come from torch's seed."""
    width = int(encoder.config.hidden_size)
    ordered = {name: tasks[name] for name in TASKS if name in tasks}
    return LabelModel(
        options,
        ordered,
        features,
        encoder,
        width,
        Tokenizer(tokenizer, options.max_tokens, WINDOWS),
        origin,
        linear,
        sound,
    )


def sound_encoder(options: ModelOptions) -> SoundEncoder | None:
    """The encoder of sound that the options name; None for a model that reads none."""
    if not options.sound:
        return None
    return SpeechEncoder(*load_speech_encoder(options.sound_encoder)) if options.sound_encoder else LogMelEncoder()


def take_over(model: LabelModel, trained: LabelModel) -> list[str]:
    """Copy every weight of `trained` whose name and shape agree, and those of labels by their names; gives the names of
    the model's weights that stayed new. Linear members stay: they are fitted to the training log."""
    old, new = trained.state_dict(), model.state_dict()
    stayed = []
    for name, tensor in new.items():
        if name == "steps":
            continue
        if name.startswith("linear."):
            stayed.append(name)
            continue
        before = old.get(name) if _of_same_features(model, trained, name) else None
        if before is not None and before.shape == tensor.shape and not _of_labels(model, name):
            tensor.copy_(before)
        elif before is None or not _copy_labels(model, trained, name, tensor, before):
            stayed.append(name)
    model.load_state_dict(new)
    return stayed


def _of_same_features(model: LabelModel, trained: LabelModel, name: str) -> bool:
    """Weights of features stand in the order of their values; between other values they would be misplaced."""
    if name.startswith("fusion.words."):
        return model.features.words == trained.features.words
    if name.startswith("fusion.categories."):
        return model.features.categories == trained.features.categories
    if name.startswith("fusion.numbers."):
        return [n.name for n in model.features.numbers] == [n.name for n in trained.features.numbers]
    return True


def _of_labels(model: LabelModel, name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "heads" and parts[-1] in ("own", "own_bias") and model.tasks[parts[1]].reads_label_texts


def _copy_labels(model: LabelModel, trained: LabelModel, name: str, tensor: torch.Tensor, before: torch.Tensor) -> bool:
    """Rows of labels that both know; a label that was not trained on keeps its zeros."""
    if not _of_labels(model, name):
        return False
    task = name.split(".")[1]
    index = trained.tasks[task].index
    for row, label in enumerate(model.tasks[task].labels.names):
        if label.name in index:
            tensor[row] = before[index[label.name]]
    return True


def with_labels(trained: LabelModel, labels: Sources) -> LabelModel:
    """The same model over other label sets: labels it was not trained on are scored by their texts.

    A source of `labels` gets exactly the set given there; sources that are not named keep theirs."""
    tasks: dict[str, Task[Any]] = {}
    for name, task in trained.tasks.items():
        labels_of_task = task.labels
        if type(task).names is None and any(of.get(name) for of in labels.values()):
            labels_of_task = carry_company(_join(task.labels, labels), task.labels)
        tasks[name] = type(task)(labels_of_task, task.options)
    model = assemble(
        trained.options,
        tasks,
        trained.features,
        trained.turn_encoder.encoder,
        trained.tokenizer.tokenizer,
        trained.origin,
        trained.linear_settings(),
        trained.sound,
    )
    take_over(model, trained)
    model.linear = trained.linear
    model.eval()
    model.refresh_labels()
    return model


def _join(trained: LabelSet, labels: Sources) -> LabelSet:
    known = {source: {trained.task: tuple(trained.names[k] for k in ks)} for source, ks in trained.sources.items()}
    return label_set(trained.task, {**known, **labels})
