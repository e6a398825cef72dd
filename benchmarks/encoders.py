"""An encoder of random weights: what the pretrained weights of the others are worth."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from labelgen.base.files import write_text
from labelgen.features.pretrained import encoder_from_config

SEED = 0
_SIZES = {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512}


def random_encoder(like: Sequence[Path], out: Sequence[Path]) -> None:
    """A folder with the architecture and tokenizer of another encoder, two layers of width 128, and random weights."""
    [source], [folder] = like, out
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.name.startswith(("tokenizer", "special_tokens", "vocab")):
            shutil.copy(path, folder)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    write_text(folder / "config.json", json.dumps({**config, **_SIZES}))
    torch.manual_seed(SEED)
    encoder = encoder_from_config(folder / "config.json")
    encoder.save_pretrained(folder)  # type: ignore[operator]
