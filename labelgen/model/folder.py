"""A trained model as a folder: weights, settings, tokenizer, card and digests. Loading it runs no code of the folder.

model.json            options, tasks with their labels, features, versions
weights.safetensors   every weight, and the encoded texts of labels
encoder.json          the architecture of the turn encoder
tokenizer/            the tokenizer's own files
card.json             what the model was trained on, from which weights, by whom it may be used
digests.json          SHA-256 of each of these; the model's digest is that of this file"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from labelgen import __version__
from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file, write_text
from labelgen.base.registry import resolve
from labelgen.data.label_set import LabelSet
from labelgen.model.build import assemble
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions
from labelgen.tasks.task import Task
from labelgen.tensors.features import FeatureSet
from labelgen.tensors.pretrained import encoder_from_config, load_tokenizer

_FORM = 4
"""Before 2 the head of quality was another, before 3 that of intents, before 4 that of selection; labelgen 0.1.0 wrote all."""


@dataclass(frozen=True, slots=True)
class _SavedTask:
    options: TaskOptions
    labels: LabelSet


@dataclass(frozen=True, slots=True)
class _Saved:
    form: int
    version: str
    options: ModelOptions
    tasks: dict[str, _SavedTask]
    features: FeatureSet
    origin: dict[str, Any]


def save_model(model: LabelModel, folder: Path, card: Mapping[str, Any]) -> str:
    """Write the folder, whole or not at all, in the place of an older one; gives the model's digest."""
    from safetensors.torch import save_file

    model.refresh_labels()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    saved = _Saved(
        form=_FORM,
        version=__version__,
        options=model.options,
        tasks={name: _SavedTask(task.options, task.labels) for name, task in model.tasks.items()},
        features=model.features,
        origin=model.origin,
    )
    write_text(part / "model.json", _pretty(saved))
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, part / "weights.safetensors")
    encoder: Any = model.turn_encoder.encoder
    write_text(part / "encoder.json", encoder.config.to_json_string(use_diff=False))
    model.tokenizer.tokenizer.save_pretrained(part / "tokenizer")
    write_text(part / "card.json", _pretty({**card, "encoder": model.origin}))
    digests = {str(p.relative_to(part)): digest_file(p) for p in sorted(part.rglob("*")) if p.is_file()}
    write_text(part / "digests.json", _pretty(digests))
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)
    return model_digest(folder)


def model_digest(folder: Path) -> str:
    """The digest of a model that load_model or check_model has found whole."""
    return digest_file(folder / "digests.json")


def check_model(folder: Path) -> None:
    """Raises UsageError if there is no model, IntegrityError if a file is not what was saved."""
    listing = folder / "digests.json"
    if not listing.is_file():
        within = folder / "model"
        found = (within / "digests.json").is_file()
        mend = f"did you mean {within}?" if found else "name a folder that labelgen finetune wrote"
        raise UsageError(f"{folder} is no model folder", str(listing), mend)
    try:
        digests = msgspec.json.decode(listing.read_bytes(), type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"digests.json is damaged: {error}", str(listing), "copy the model again") from error
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file() or digest_file(path) != digest:
            raise IntegrityError(
                f"{name} of the model is not the file that was saved", str(path), "copy or train the model again"
            )


def load_model(folder: Path) -> LabelModel:
    """The model, in evaluation mode. Raises as check_model does, and IntegrityError for a folder of a later version or with
    other weights than its parts."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_model(folder)
    try:
        saved = msgspec.json.decode((folder / "model.json").read_bytes(), type=_Saved)
    except msgspec.ValidationError as error:
        raise IntegrityError(
            f"model.json cannot be read: {error}", str(folder / "model.json"), "use the version that wrote it"
        ) from error
    if saved.form > _FORM:
        raise IntegrityError(
            f"the model has form {saved.form}, this version reads {_FORM} and before",
            str(folder),
            f"use labelgen {saved.version}",
        )
    tasks: dict[str, Task[Any]] = {}
    for name, held in saved.tasks.items():
        kind: type[Task[Any]] = resolve(TASKS, name, "task")
        tasks[name] = kind(held.labels, held.options)
    encoder = encoder_from_config(folder / "encoder.json")
    model = assemble(
        saved.options, tasks, saved.features, encoder, load_tokenizer(str(folder / "tokenizer")), saved.origin
    )
    weights = folder / "weights.safetensors"
    try:
        found = load_file(weights)
        if others := _other_heads(model, found) if saved.form < _FORM else []:
            raise IntegrityError(
                f"labelgen {saved.version} saved this model; its heads of {', '.join(others)} were of another form",
                str(folder),
                f"train it again (labelgen {read_card(folder).get('command', 'finetune')}; its options are in card.json), or label by "
                f"labelgen {saved.version}",
            )
        model.load_state_dict(found)
    except (SafetensorError, RuntimeError) as error:
        raise IntegrityError(
            f"the weights are not those of this model: {error}", str(weights), "fetch the folder again"
        ) from error
    return model.eval()


def _other_heads(model: LabelModel, found: Mapping[str, Any]) -> list[str]:
    """Tasks whose head has other weights than were found."""
    ours = {name: tensor.shape for name, tensor in model.state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in found.items()}
    differ = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return sorted({name.split(".")[1] for name in differ if name.startswith("heads.")})


def read_card(folder: Path) -> dict[str, Any]:
    """What the model says of itself."""
    return msgspec.json.decode((folder / "card.json").read_bytes(), type=dict[str, Any])


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1).decode() + "\n"
