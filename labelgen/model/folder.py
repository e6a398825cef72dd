"""A trained model as a folder: weights, settings, tokenizer, card and digests. Loading it runs no code of the folder.

model.json            options, tasks with their labels, features, versions
weights.safetensors   every weight, and the encoded texts of labels
encoder.json          the architecture of the turn encoder
tokenizer/            the tokenizer's own files
card.json             what the model was trained on, from which weights, by whom it may be used
calibration.json      once it is calibrated (model/calibration.py)
trained_on.bin        fingerprints of the dialogues whose labels or feedback it learned (model/folder.py)
digests.json          SHA-256 of each of these; the model's digest is that of this file

The folder holds these files and no others: what a digest does not cover is not read. README.md and .gitattributes, which
hubs add, may lie beside them and are never read.

What model.json says of a model, read as what anybody may have written: every name, number and index is checked.

Weights of a model folder against the model that its other files describe, before and after they are read.

Sizes are compared first, on torch's meta device and with the header of weights.safetensors, where nothing is allocated.

The dialogues that a model was trained on, as its folder knows them: trained_on.bin, a fingerprint of each.

They are those whose labels or feedback it learned, also those of the model that it began from. Pretraining learns no labels,
so its dialogues are not among them. Fingerprints let nobody read a dialogue; who has one can tell whether it is there."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from labelgen.data.split import Fingerprints, fingerprint, pack, unpack
from labelgen.features.features import FeatureSet
from labelgen.features.pretrained import encoder_from_config, most_tokens, saved_tokenizer
from labelgen.model.build import assemble
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.turn_encoder import pool_texts
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions
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


FORM = 4
"""Before 2 the head of quality was another, before 3 that of intents, before 4 that of selection; labelgen 0.1.0 wrote all."""


@dataclass(frozen=True, slots=True)
class SavedTask:
    options: TaskOptions
    labels: LabelSet


@dataclass(frozen=True, slots=True)
class Saved:
    form: int
    version: str
    options: ModelOptions
    tasks: dict[str, SavedTask]
    features: FeatureSet
    origin: dict[str, Any]


def read_saved(path: Path) -> Saved:
    """model.json. Raises IntegrityError where it cannot be read, is of a later version, or holds what no model can have."""
    head = read_json(path, _Head)
    if head.form > FORM:
        raise IntegrityError(
            f"the model has form {head.form}, this version reads {FORM} and before",
            str(path.parent),
            f"use labelgen {head.version}",
        )
    saved = read_json(path, Saved, "use the version that wrote it, or copy the model again")
    fault = next(_faults(saved), None)
    if fault is not None:
        raise IntegrityError(f"model.json describes no model: {fault}", str(path), MODEL_HINT)
    return saved


@dataclass(frozen=True, slots=True)
class _Head:
    """What every version wrote."""

    form: int
    version: str


def _faults(saved: Saved) -> Iterator[str]:
    options = saved.options
    if saved.form < 1:
        yield f"form {saved.form}"
    least = {
        "max_tokens": 1,
        "dialogue_layers": 0,
        "dialogue_width": 1,
        "dialogue_heads": 1,
        "dialogue_band": 1,
        "words": 0,
        "label_refresh_steps": 1,
    }
    for name, low in least.items():
        if not low <= getattr(options, name) <= _MOST:
            yield f"options.{name} is {getattr(options, name)}"
    if not 0.0 <= options.dropout < 1.0:
        yield f"options.dropout is {options.dropout}"
    if options.dialogue_layers and options.dialogue_heads >= 1 and options.dialogue_width % options.dialogue_heads:
        yield f"{options.dialogue_heads} heads do not divide a width of {options.dialogue_width}"
    if not saved.tasks:
        yield "it has no tasks"
    for name, task in saved.tasks.items():
        if name not in TASKS:
            yield f"this version knows no task {name!r}"
        yield from (f"tasks.{name}: {fault}" for fault in _label_faults(name, task.labels))
        if not (math.isfinite(task.options.weight) and task.options.weight >= 0):
            yield f"tasks.{name}.weight is {task.options.weight}"
        if not 0.0 <= task.options.label_dropout <= 1.0:
            yield f"tasks.{name}.label_dropout is {task.options.label_dropout}"
    yield from _feature_faults(saved.features)


_MOST = 1_000_000
"""More than any size of a model, and few enough to count up to."""


def _label_faults(task: str, labels: LabelSet) -> Iterator[str]:
    names = [label.name for label in labels.names]
    if labels.task != task:
        yield f"its labels are of the task {labels.task!r}"
    if not names:
        yield "it has no labels"
    if len(set(names)) < len(names):
        yield "two labels have one name"
    for indices in (*labels.sources.values(), labels.often):
        if list(indices) != sorted(indices) or any(not 0 <= k < len(names) for k in indices):
            yield f"indices of labels are out of order, or beyond the {len(names)} that there are"
    if any(not 0 <= a < b < len(names) for a, b in labels.together):
        yield f"a pair of labels is not among the {len(names)} that there are"


def _feature_faults(features: FeatureSet) -> Iterator[str]:
    names = [*(one.name for one in features.categories), *(one.name for one in features.numbers)]
    if len(set(names)) < len(names):
        yield "two features have one name"
    for number in features.numbers:
        if not math.isfinite(number.mean) or not 0.0 < number.deviation < math.inf:
            yield f"the feature {number.name!r} has the mean {number.mean} and the deviation {number.deviation}"
    for words in (*(one.values for one in features.categories), features.words.request, features.words.response):
        if len(set(words)) < len(words):
            yield "a feature has one value twice"


Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
"""name -> dtype as safetensors writes it, shape."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_TRIED_TOKENS = 512
"""Tokens of the text that a loaded model is tried with, at most."""


def read_shapes(path: Path) -> Shapes:
    """From the header alone. Raises IntegrityError where it cannot be read."""
    from safetensors import safe_open

    with integrity_errors("the weights cannot be read", path), safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}


def outline(make: Callable[[], LabelModel], shapes: Shapes, folder: Path) -> LabelModel:
    """The model that the folder describes, without memory for weights. Raises IntegrityError where none can be made, or none whose
    weights could be these."""
    largest = max((_count(shape) for _, shape in shapes.values()), default=0)
    # An architecture may replace some of the parts that it makes.
    most = 2 * len(shapes) + 100
    made = 0

    def bounded(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal made
        made += 1
        if made > most or parameter.numel() > largest:
            raise IntegrityError("the model's files describe a larger one than its weights", str(folder), MODEL_HINT)

    hook = nn.modules.module.register_module_parameter_registration_hook(bounded)
    try:
        with integrity_errors("no model can be made as its files say", folder), torch.device("meta"):
            model = make()
            places = most_tokens(model.turn_encoder.encoder)
            if places is not None and model.options.max_tokens > places:
                raise ValueError(f"its encoder reads {places} tokens of a text, not {model.options.max_tokens}")
            return model
    finally:
        hook.remove()


def check_shapes(model: LabelModel, shapes: Shapes, path: Path) -> None:
    """Raises IntegrityError unless the weights have the names, sizes and types that the model's have."""
    ours = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in model.state_dict().items()}
    theirs = {name: (_DTYPES.get(dtype), shape) for name, (dtype, shape) in shapes.items()}
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            told = [" ".join(map(str, held)) if (held := of.get(name)) else "nothing" for of in (theirs, ours)]
            raise IntegrityError(
                f"the weights are not those of this model: {name} is {told[0]}, and should be {told[1]}",
                str(path),
                "fetch the folder again",
            )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Raises IntegrityError where they cannot be read, or are not finite."""
    from safetensors.torch import load_file

    with integrity_errors("the weights cannot be read", path):
        found = load_file(path)
    for name, tensor in found.items():
        if not bool(tensor.isfinite().all()):
            raise IntegrityError(f"{name} of the weights holds what is no finite number", str(path), MODEL_HINT)
    return found


def try_out(model: LabelModel, folder: Path) -> None:
    """Encode an empty and a long text. Raises IntegrityError where that fails, gives no finite numbers, or the tokenizer has
    tokens that the encoder does not know."""
    known = model.turn_encoder.encoder.get_input_embeddings().num_embeddings
    backend = model.tokenizer.tokenizer.backend_tokenizer
    with integrity_errors("the encoder cannot read a text", folder):
        tokens = model.tokenizer(["", "a " * min(model.options.max_tokens, _TRIED_TOKENS)])
        ids = [one.ids for one in tokens if one.ids]
        last = max([*backend.get_vocab(with_added_tokens=True).values(), *(k for one in ids for k in one)], default=0)
        if last >= known:
            raise ValueError(f"its tokenizer has a token of the number {last}, and it knows {known} tokens")
        if len(ids) < len(tokens):
            raise ValueError("its tokenizer gives no token for an empty text")
        vectors = pool_texts(model.turn_encoder, ids)
        if not bool(vectors.isfinite().all()):
            raise ValueError("its vectors are not finite")


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def save_model(model: LabelModel, folder: Path, card: Mapping[str, Any], trained_on: bytes | None = None) -> str:
    """Write the folder, whole or not at all, in the place of an older one; gives the model's digest. trained_on: what
    model/folder.py keeps there, None where that is not known."""
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


COMPLETE = "trained_on_complete"
"""In the card: whether the file names all; false where the model that training began from does not know its own."""


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """fingerprints: of the dialogues that are known; complete: whether there are no others."""

    fingerprints: Fingerprints
    complete: bool

    def holds(self, dialogue: Dialogue) -> bool | None:
        """Whether the model was trained on the dialogue; None where that is not known."""
        key = np.uint64(fingerprint(dialogue))
        place = int(np.searchsorted(self.fingerprints, key))
        if place < len(self.fingerprints) and self.fingerprints[place] == key:
            return True
        return False if self.complete else None


UNKNOWN = TrainedOn(np.empty(0, dtype=np.uint64), False)


def read_trained_on(folder: Path) -> TrainedOn:
    """UNKNOWN for a folder of an earlier version. Raises IntegrityError where the file cannot be read; load_model has found
    it whole."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return UNKNOWN
    try:
        return TrainedOn(unpack(path.read_bytes()), bool(read_card(folder).get(COMPLETE)))
    except ValueError as error:
        raise IntegrityError(f"{TRAINED_ON} cannot be read: {error}", str(path), "copy the model again") from error


def joined(learned: Iterable[int], init: Path | None) -> tuple[bytes, bool]:
    """The file's bytes and whether it is complete, for a model that learned from these dialogues and began from `init`."""
    if init is None:
        return pack(learned), True
    before = read_trained_on(init)
    return pack([*learned, *before.fingerprints.tolist()]), before.complete
