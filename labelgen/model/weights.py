"""Weights of a model folder against the model that its other files describe, before and after they are read.

Sizes are compared first, on torch's meta device and with the header of weights.safetensors, where nothing is allocated."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from labelgen.base.errors import MODEL_HINT, IntegrityError, integrity_errors
from labelgen.features.pretrained import most_tokens
from labelgen.model.label_model import LabelModel
from labelgen.nn.turn_encoder import pool_texts

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
