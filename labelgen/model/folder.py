"""A trained model as a folder: weights, settings, tokenizer, card and digests. Loading it runs no code of the folder.

model.json            options, tasks with their labels, features, versions
weights.safetensors   every weight, and the encoded texts of labels
encoder.json          the architecture of the turn encoder
tokenizer/            the tokenizer's own files
card.json             what the model was trained on, from which weights, by whom it may be used
calibration.json      once it is calibrated (model/calibration.py)
trained_on.bin        fingerprints of the dialogues whose labels or feedback it learned (model/trained_on.py)
digests.json          SHA-256 of each of these; the model's digest is that of this file

The folder holds these files and no others: what a digest does not cover is not read. README.md and .gitattributes, which
hubs add, may lie beside them and are never read."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from labelgen import __version__
from labelgen.base.errors import MODEL_HINT, IntegrityError, UsageError
from labelgen.base.files import digest_file, read_json, share, write_text
from labelgen.base.registry import resolve
from labelgen.features.pretrained import encoder_from_config, saved_tokenizer
from labelgen.model.build import assemble
from labelgen.model.label_model import LabelModel
from labelgen.model.saved import FORM, Saved, SavedTask, read_saved
from labelgen.model.weights import Shapes, check_shapes, outline, read_shapes, read_weights, try_out
from labelgen.tasks import TASKS
from labelgen.tasks.task import Task

DIGESTS, WEIGHTS, SETTINGS, ENCODER, CARD = (
    "digests.json",
    "weights.safetensors",
    "model.json",
    "encoder.json",
    "card.json",
)
TRAINED_ON = "trained_on.bin"
_NEEDED = (SETTINGS, WEIGHTS, ENCODER, CARD, "tokenizer/tokenizer.json")
_UNREAD = (DIGESTS, "README.md", ".gitattributes")
"""May be there without a digest; nothing is read of the last two."""


def save_model(model: LabelModel, folder: Path, card: Mapping[str, Any], trained_on: bytes | None = None) -> str:
    """Write the folder, whole or not at all, in the place of an older one; gives the model's digest. trained_on: what
    model/trained_on.py keeps there, None where that is not known."""
    from safetensors.torch import save_file

    model.refresh_labels()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    saved = Saved(
        form=FORM,
        version=__version__,
        options=model.options,
        tasks={name: SavedTask(task.options, task.labels) for name, task in model.tasks.items()},
        features=model.features,
        origin=model.origin,
    )
    write_text(part / SETTINGS, _pretty(saved))
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, part / WEIGHTS)
    share(part / WEIGHTS)
    encoder: Any = model.turn_encoder.encoder
    write_text(part / ENCODER, encoder.config.to_json_string(use_diff=False))
    model.tokenizer.tokenizer.save_pretrained(part / "tokenizer")
    write_text(part / CARD, _pretty({**card, "encoder": model.origin}))
    if trained_on is not None:
        (part / TRAINED_ON).write_bytes(trained_on)
    digests = {str(p.relative_to(part)): digest_file(p) for p in sorted(part.rglob("*")) if p.is_file()}
    write_text(part / DIGESTS, _pretty(digests))
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)
    return model_digest(folder)


def model_digest(folder: Path) -> str:
    """The digest of a model that load_model or check_model has found whole."""
    return digest_file(folder / DIGESTS)


def check_model(folder: Path) -> None:
    """Raises UsageError if there is no model, and IntegrityError if a file is not what was saved, is missing, or was added."""
    listing = folder / DIGESTS
    if not listing.is_file() and not (folder / WEIGHTS).exists():
        within = folder / "model"
        found = (within / DIGESTS).is_file()
        hint = f"did you mean {within}?" if found else "name a folder that labelgen finetune wrote"
        raise UsageError(f"{folder} is no model folder", str(listing), hint)
    there = set(_files(folder))
    digests = read_digests(folder)
    copy = "copy the whole folder again"
    for name in (*_NEEDED, *digests):
        if name not in digests or name not in there:
            raise IntegrityError(f"the model lacks {name}", str(folder), copy)
    if others := sorted(there - {*digests, *_UNREAD}):
        raise IntegrityError(
            f"the model's folder holds {others[0]}, which {DIGESTS} does not name",
            str(folder),
            "remove it if it is not part of the model, or copy the whole folder again",
        )
    for name, digest in digests.items():
        if digest_file(folder / name) != digest:
            raise IntegrityError(
                f"{name} of the model is not the file that was saved",
                str(folder / name),
                MODEL_HINT,
            )


def _files(folder: Path, within: str = "") -> Iterator[str]:
    """Paths of all files below the folder. Raises IntegrityError for what is neither file nor folder."""
    try:
        entries = sorted(os.scandir(folder / within), key=lambda entry: entry.name)
    except OSError as error:
        raise IntegrityError(f"the model's folder cannot be read: {error.strerror}", str(folder), "check it") from error
    for entry in entries:
        name = f"{within}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, f"{name}/")
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise IntegrityError(
                f"{name} of the model is a link or a device, not a file",
                str(folder / name),
                "copy the files themselves, as `cp -rL` does",
            )


def read_digests(folder: Path) -> dict[str, str]:
    """digests.json. Raises IntegrityError where it cannot be read."""
    return read_json(folder / DIGESTS, dict[str, str], "copy the model again")


def load_model(folder: Path) -> LabelModel:
    """The model, in evaluation mode. Raises as check_model does, and IntegrityError for a folder of a later version, for files
    that describe no model, and for weights that are not finite or not those of the model that they describe.

    Nothing is allocated for the model before the sizes that its files tell are found to be those of its weights."""
    check_model(folder)
    saved = read_saved(folder / SETTINGS)
    tasks = _tasks(saved, folder / SETTINGS)
    tokenizer = saved_tokenizer(folder / "tokenizer")

    def parts() -> LabelModel:
        encoder = encoder_from_config(folder / ENCODER)
        return assemble(saved.options, tasks, saved.features, encoder, tokenizer, saved.origin)

    shapes = read_shapes(folder / WEIGHTS)
    expected = outline(parts, shapes, folder)
    others = _other_heads(expected, shapes) if saved.form < FORM else []
    if others:
        raise IntegrityError(
            f"labelgen {saved.version} saved this model; its heads of {', '.join(others)} were of another form",
            str(folder),
            f"train it again (labelgen {read_card(folder).get('command', 'finetune')}; its options are in card.json), or label by "
            f"labelgen {saved.version}",
        )
    check_shapes(expected, shapes, folder / WEIGHTS)
    weights = read_weights(folder / WEIGHTS)
    model = parts()
    model.load_state_dict(weights)
    model.eval()
    try_out(model, folder)
    return model


def _tasks(saved: Saved, path: Path) -> dict[str, Task[Any]]:
    tasks: dict[str, Task[Any]] = {}
    for name, held in saved.tasks.items():
        kind: type[Task[Any]] = resolve(TASKS, name, "task")
        if kind.names is not None and tuple(label.name for label in held.labels.names) != kind.names:
            raise IntegrityError(f"the labels of {name} are not those that the task has", str(path), MODEL_HINT)
        tasks[name] = kind(held.labels, held.options)
    return tasks


def _other_heads(model: LabelModel, found: Shapes) -> list[str]:
    """Tasks whose head has other weights than were found."""
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    theirs = {name: shape for name, (_, shape) in found.items()}
    differ = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return sorted({name.split(".")[1] for name in differ if name.startswith("heads.")})


@dataclass(frozen=True, slots=True)
class _Card:
    """What is read of a card."""

    command: str = "finetune"
    data_digest: str | None = None
    learned_from_feedback: bool = True


def read_card(folder: Path) -> dict[str, Any]:
    """What the model says of itself. Raises IntegrityError where it cannot be read."""
    read_json(folder / CARD, _Card)
    return read_json(folder / CARD, dict[str, Any])


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1).decode() + "\n"
