"""A trained model as a folder: weights, settings, tokenizer, card and digests. Loading it runs no code of the folder.

config.json           options, tasks with their labels, features, versions
weights.safetensors   every weight, and the encoded texts of labels
encoder.json          architecture of the turn encoder
sound.json            architecture of the speech encoder, and sound.safetensors its weights, where there is one
tokenizer/            files of the tokenizer
card.json             training data, options and origin of the encoder's weights
calibration.json      after `labelgen calibrate` (model/calibration.py)
reference.json        after `labelgen calibrate` (model/reference.py)
trained_on.bin        fingerprints of the training dialogues
digests.json          SHA-256 of each of these; the model's digest is that of this file
README.md             model card for people (model/card.py)

README.md and .gitattributes are never read and have no digest, as they are edited on hubs. Any other file without a digest is
refused. Content of the files is untrusted: none of it runs, and sizes are checked before memory is allocated. Files that changed have another
digest; that numbers make sense is left to who wrote them."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import torch
from torch import nn

from labelgen import __version__
from labelgen.base.errors import MODEL_HINT, IntegrityError, UsageError, integrity_errors
from labelgen.base.files import digest_file, read_json, share, write_text
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import LabelSet
from labelgen.data.labels import Unit
from labelgen.data.split import Fingerprints, fingerprint, pack, unpack
from labelgen.features.features import FeatureSet
from labelgen.features.pretrained import encoder_from_config, most_tokens, saved_tokenizer, speech_encoder_from_config
from labelgen.features.voice import SpeechEncoder
from labelgen.model.build import assemble, sound_encoder
from labelgen.model.card import MODEL_CARD, model_card
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.linear_member import MemberSettings
from labelgen.nn.turn_encoder import pool_texts
from labelgen.tasks import TASKS, TaskOptions
from labelgen.tasks.task import Task

DIGESTS, WEIGHTS, SETTINGS = "digests.json", "weights.safetensors", "config.json"
ENCODER, CARD, TRAINED_ON = "encoder.json", "card.json", "trained_on.bin"
SOUND, SOUND_WEIGHTS = "sound.json", "sound.safetensors"
COMPLETE = "trained_on_complete"
"""Key of the card: whether trained_on.bin lists all training dialogues; false if the initial model had no such list."""
FORM = 8
"""Version of config.json; models of another one are refused."""

_REQUIRED = (WEIGHTS, ENCODER, CARD, "tokenizer/tokenizer.json")
UNREAD = (MODEL_CARD, ".gitattributes")
"""Files that a hub may change: never read, and outside of the digest."""
_WITHOUT_DIGEST = (DIGESTS, *UNREAD)
_NORMALIZES = "do_normalize"
_COPY_HINT = "copy the whole folder again"
_MAX_SIZE = 1_000_000
"""Larger than any size in a model's options."""
_MINIMUM = {
    "max_tokens": 1,
    "dialogue_layers": 0,
    "dialogue_width": 1,
    "dialogue_heads": 1,
    "words": 0,
}
_TEST_TOKENS = 512
"""Maximum length of the text that a loaded encoder is tested with."""
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "BOOL": torch.bool,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
}

Module = TypeVar("Module", bound=nn.Module)
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
"""name -> dtype as safetensors writes it, shape."""


@dataclass(frozen=True, slots=True)
class SavedTask:
    """A task in config.json."""

    options: TaskOptions
    labels: LabelSet


@dataclass(frozen=True, slots=True)
class Saved:
    """Content of config.json. form: see FORM. version: of labelgen. origin: of the encoder's weights. linear: settings of the linear members."""

    form: int
    version: str
    options: ModelOptions
    tasks: dict[str, SavedTask]
    features: FeatureSet
    origin: dict[str, Any]
    linear: dict[str, dict[Unit, MemberSettings]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Head:
    """What every version wrote to config.json."""

    form: int
    version: str


@dataclass(frozen=True, slots=True)
class _Card:
    """Fields of the card that are read."""

    command: str = "finetune"
    data_digest: str | None = None
    learned_from_feedback: bool = True


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """Dialogues that a model was trained on. fingerprints: of those that are known, sorted. complete: whether there are no others.

    They are the dialogues whose labels or feedback the model or its initial model learned; pretraining learns no labels. A
    fingerprint does not reveal a dialogue, but shows to those who have the dialogue that it was in the training data."""

    fingerprints: Fingerprints
    complete: bool

    def holds(self, dialogue: Dialogue) -> bool | None:
        """Whether the model was trained on the dialogue; None if unknown."""
        key = np.uint64(fingerprint(dialogue))
        place = int(np.searchsorted(self.fingerprints, key))
        if place < len(self.fingerprints) and self.fingerprints[place] == key:
            return True
        return False if self.complete else None


def save_model(model: LabelModel, folder: Path, card: Mapping[str, Any], trained_on: bytes | None = None) -> str:
    """Write a model folder atomically, replacing an older one.

    Args:
        trained_on: content of trained_on.bin; None if unknown.

    Returns: the model's digest."""
    from safetensors.torch import save_file

    model.refresh_labels()
    saved = Saved(
        form=FORM,
        version=__version__,
        options=model.options,
        tasks={name: SavedTask(task.options, task.labels) for name, task in model.tasks.items()},
        features=model.features,
        origin=model.origin,
        linear={name: dict(settings) for name, settings in model.linear_settings().items()},
    )
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    encoder: Any = model.turn_encoder.encoder
    with replace_folder(folder) as part:
        write_json(part / SETTINGS, {"model_type": "labelgen", **msgspec.to_builtins(saved)})
        save_file(weights, part / WEIGHTS)
        share(part / WEIGHTS)
        write_text(part / ENCODER, encoder.config.to_json_string(use_diff=False))
        if isinstance(model.sound, SpeechEncoder):
            _save_sound(model.sound, part)
        model.tokenizer.tokenizer.save_pretrained(part / "tokenizer")
        write_json(part / CARD, {**card, "encoder": model.origin})
        if trained_on is not None:
            (part / TRAINED_ON).write_bytes(trained_on)
        digests = {str(p.relative_to(part)): digest_file(p) for p in sorted(part.rglob("*")) if p.is_file()}
        write_json(part / DIGESTS, digests)
        write_text(part / MODEL_CARD, model_card({**card, "encoder": model.origin}, label_names(saved)))
    return model_digest(folder)


def _save_sound(sound: SpeechEncoder, folder: Path) -> None:
    from safetensors.torch import save_file

    values = {**msgspec.json.decode(sound.encoder.config.to_json_string(use_diff=False)), _NORMALIZES: sound.normalizes}
    write_json(folder / SOUND, values)
    save_file({name: x.contiguous() for name, x in sound.encoder.state_dict().items()}, folder / SOUND_WEIGHTS)
    share(folder / SOUND_WEIGHTS)


def label_names(saved: Saved) -> dict[str, list[str]]:
    """Task -> names of its labels."""
    return {name: [label.name for label in task.labels.names] for name, task in saved.tasks.items()}


def _beside(folder: Path, end: str) -> Path:
    return folder.with_name(f".{folder.name}.{end}")


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that replaces it at the end of the block; if the block raises, `folder` does not change."""
    part, old = _beside(folder, "part"), _beside(folder, "old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any, order: Literal["sorted"] | None = "sorted") -> None:
    """Write indented JSON, atomically. order: None keeps the order of keys and fields."""
    write_text(path, msgspec.json.format(msgspec.json.encode(value, order=order), indent=1).decode() + "\n")


def load_model(folder: Path) -> LabelModel:
    """Load a model in evaluation mode.

    Raises as check_model does. Raises IntegrityError also for a folder of a later version, for files that describe no valid
    model, and for weights that are not finite or do not fit the description."""
    check_model(folder)
    saved = read_saved(folder / SETTINGS)
    tasks = _tasks(saved, folder / SETTINGS)
    tokenizer = saved_tokenizer(folder / "tokenizer")
    sound = _load_sound(folder) if saved.options.sound_encoder else sound_encoder(saved.options)

    def make() -> LabelModel:
        encoder = encoder_from_config(folder / ENCODER)
        return assemble(saved.options, tasks, saved.features, encoder, tokenizer, saved.origin, saved.linear, sound)

    shapes = _read_shapes(folder / WEIGHTS)
    described = _on_meta_device(make, shapes, folder)
    with integrity_errors("no model can be made as its files say", folder):
        positions = most_tokens(described.turn_encoder.encoder)
        if positions is not None and described.options.max_tokens > positions:
            raise ValueError(f"its encoder reads {positions} tokens of a text, not {described.options.max_tokens}")
    _check_shapes(described, shapes, folder / WEIGHTS)
    weights = _read_weights(folder / WEIGHTS)
    model = make()
    model.load_state_dict(weights)
    model.eval()
    _test_encoder(model, folder)
    return model


def _load_sound(folder: Path) -> SpeechEncoder:
    """The speech encoder of a model folder. Raises IntegrityError if its files describe none."""
    for name in (SOUND, SOUND_WEIGHTS):
        if not (folder / name).is_file():
            raise IntegrityError(f"the model lacks {name}", str(folder), _COPY_HINT)
    shapes = _read_shapes(folder / SOUND_WEIGHTS)
    encoder = _on_meta_device(lambda: speech_encoder_from_config(folder / SOUND), shapes, folder)
    _check_shapes(encoder, shapes, folder / SOUND_WEIGHTS)
    encoder = speech_encoder_from_config(folder / SOUND)
    encoder.load_state_dict(_read_weights(folder / SOUND_WEIGHTS))
    return SpeechEncoder(encoder, bool(read_json(folder / SOUND, dict[str, Any])[_NORMALIZES]))


def model_digest(folder: Path) -> str:
    """The digest of a model that load_model or check_model has checked."""
    return digest_file(folder / DIGESTS)


def check_model(folder: Path) -> None:
    """Check the digests of a model folder.

    Raises UsageError if it is no model folder, and IntegrityError if a file was changed, removed or added."""
    if (folder / "model.json").is_file() and not (folder / SETTINGS).exists():
        raise IntegrityError("labelgen 0.3 or an earlier version saved this model", str(folder), "train it again")
    old = _beside(folder, "old")
    if not folder.exists() and old.is_dir():
        # A kill between the two renames of replace_folder.
        os.replace(old, folder)
    listing = folder / DIGESTS
    if not listing.is_file() and not (folder / WEIGHTS).exists():
        inner = folder / "model"
        is_model = (inner / DIGESTS).is_file()
        hint = f"did you mean {inner}?" if is_model else "name a folder that labelgen finetune wrote"
        raise UsageError(f"{folder} is no model folder", str(listing), hint)
    files = set(_files(folder))
    digests = read_digests(folder)
    for name in (SETTINGS, *_REQUIRED, *digests):
        if name not in digests or name not in files:
            raise IntegrityError(f"the model lacks {name}", str(folder), _COPY_HINT)
    if others := sorted(files - {*digests, *_WITHOUT_DIGEST}):
        what = f"the model's folder holds {others[0]}, which {DIGESTS} does not name"
        raise IntegrityError(what, str(folder), f"remove it if it is not part of the model, or {_COPY_HINT}")
    for name, digest in digests.items():
        if digest_file(folder / name) != digest:
            what = f"{name} of the model is not the file that was saved"
            raise IntegrityError(what, str(folder / name), MODEL_HINT)


def _files(folder: Path, within: str = "") -> Iterator[str]:
    """Relative paths of all files. Raises IntegrityError for an entry that is neither file nor folder."""
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
            what = f"{name} of the model is a link or a device, not a file"
            raise IntegrityError(what, str(folder / name), "copy the files themselves, as `cp -rL` does")


def read_digests(folder: Path) -> dict[str, str]:
    """Content of digests.json. Raises IntegrityError if it cannot be read."""
    return read_json(folder / DIGESTS, dict[str, str], "copy the model again")


def read_card(folder: Path) -> dict[str, Any]:
    """Content of card.json. Raises IntegrityError if it cannot be read."""
    read_json(folder / CARD, _Card)
    return read_json(folder / CARD, dict[str, Any])


def read_trained_on(folder: Path) -> TrainedOn:
    """Content of trained_on.bin; empty and incomplete if the file is missing, as in folders of early versions.

    Raises IntegrityError if it cannot be read."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return TrainedOn(np.empty(0, dtype=np.uint64), False)
    try:
        return TrainedOn(unpack(path.read_bytes()), bool(read_card(folder).get(COMPLETE)))
    except ValueError as error:
        raise IntegrityError(f"{TRAINED_ON} cannot be read: {error}", str(path), "copy the model again") from error


def joined_trained_on(learned: Iterable[int], init: Path | None) -> tuple[bytes, bool]:
    """Content of trained_on.bin and whether it is complete, for a model that was trained on these dialogues.

    Args:
        learned: fingerprints of the dialogues.
        init: folder of the initial model, whose dialogues are added; None without one."""
    if init is None:
        return pack(learned), True
    before = read_trained_on(init)
    return pack(chain(learned, map(int, before.fingerprints))), before.complete


def read_saved(path: Path) -> Saved:
    """Read config.json. Raises IntegrityError if it cannot be read, is of a later version, or describes no valid model."""
    head = read_json(path, _Head)
    if head.form != FORM:
        what = f"the model has form {head.form}, this version reads {FORM}"
        raise IntegrityError(what, str(path.parent), f"train it again, or use labelgen {head.version}")
    saved = read_json(path, Saved, "use the version that wrote it, or copy the model again")
    fault = next(_faults(saved), None)
    if fault is not None:
        raise IntegrityError(f"{path.name} describes no model: {fault}", str(path), MODEL_HINT)
    return saved


def _faults(saved: Saved) -> Iterator[str]:
    options = saved.options
    for name, low in _MINIMUM.items():
        if not low <= getattr(options, name) <= _MAX_SIZE:
            yield f"options.{name} is {getattr(options, name)}"
    if options.dialogue_layers and options.dialogue_heads >= 1 and options.dialogue_width % options.dialogue_heads:
        yield f"{options.dialogue_heads} heads do not divide a width of {options.dialogue_width}"
    if not saved.tasks:
        yield "it has no tasks"
    for name, task in saved.tasks.items():
        if name not in TASKS:
            yield f"this version knows no task {name!r}"
        if task.labels.task != name or not task.labels.names:
            yield f"its labels of {name} are those of another task, or none"
    if not set(saved.linear) <= set(saved.tasks):
        yield "a linear member of no task of the model"


def _tasks(saved: Saved, path: Path) -> dict[str, Task[Any]]:
    tasks: dict[str, Task[Any]] = {}
    for name, task in saved.tasks.items():
        kind: type[Task[Any]] = resolve(TASKS, name, "task")
        if kind.names is not None and tuple(label.name for label in task.labels.names) != kind.names:
            raise IntegrityError(f"the labels of {name} are not those that the task has", str(path), MODEL_HINT)
        tasks[name] = kind(task.labels, task.options)
    return tasks


def _read_shapes(path: Path) -> Shapes:
    """Shapes in the header of the weights. Raises IntegrityError if it cannot be read."""
    from safetensors import safe_open

    with integrity_errors("the weights cannot be read", path), safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}


def _on_meta_device(make: Callable[[], Module], shapes: Shapes, folder: Path) -> Module:
    """The described model on torch's meta device, without memory for weights.

    Raises IntegrityError if it cannot be made, or has larger or many more weights than the file."""
    largest = max((math.prod(shape) for _, shape in shapes.values()), default=0)
    # An architecture may replace some parameters after it has made them.
    most = 2 * len(shapes) + 100
    count = 0

    def check_size(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal count
        count += 1
        if count > most or parameter.numel() > largest:
            raise IntegrityError("the model's files describe a larger one than its weights", str(folder), MODEL_HINT)

    hook = nn.modules.module.register_module_parameter_registration_hook(check_size)
    try:
        with integrity_errors("no model can be made as its files say", folder), torch.device("meta"):
            return make()
    finally:
        hook.remove()


def _check_shapes(model: nn.Module, shapes: Shapes, path: Path) -> None:
    """Raises IntegrityError unless the weights have the names, shapes and types of the model's."""
    ours = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in model.state_dict().items()}
    theirs = {name: (_DTYPES.get(dtype), shape) for name, (dtype, shape) in shapes.items()}
    differing = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    if not differing:
        return
    name = differing[0]
    actual, expected = (" ".join(map(str, of[name])) if name in of else "nothing" for of in (theirs, ours))
    what = f"the weights are not those of this model: {name} is {actual}, and should be {expected}"
    raise IntegrityError(what, str(path), _COPY_HINT)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Raises IntegrityError if the weights cannot be read or are not finite."""
    from safetensors.torch import load_file

    with integrity_errors("the weights cannot be read", path):
        weights = load_file(path)
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise IntegrityError(f"{name} of the weights is not finite", str(path), MODEL_HINT)
    return weights


def _test_encoder(model: LabelModel, folder: Path) -> None:
    """Encode an empty and a long text.

    Raises IntegrityError if that fails or gives values that are not finite, or if the tokenizer has more tokens than the
    encoder."""
    known = model.turn_encoder.encoder.get_input_embeddings().num_embeddings
    backend = model.tokenizer.tokenizer.backend_tokenizer
    with integrity_errors("the encoder cannot read a text", folder):
        texts = [
            tokens.truncated for tokens in model.tokenizer(["", "a " * min(model.options.max_tokens, _TEST_TOKENS)])
        ]
        last = max([*backend.get_vocab(with_added_tokens=True).values(), *(k for ids in texts for k in ids)], default=0)
        if last >= known:
            raise ValueError(f"its tokenizer has a token of the number {last}, and it knows {known} tokens")
        if not all(texts):
            raise ValueError("its tokenizer gives no token for an empty text")
        if not bool(pool_texts(model.turn_encoder, texts).isfinite().all()):
            raise ValueError("its vectors are not finite")
