"""Models over encoders of several architectures are saved and load to the same labels, without what is not theirs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from changed_folders import name_all, put
from labeled import labeled_dialogue
from random_models import random_model

from labelgen.model.annotate import annotate
from labelgen.model.folder import load_model, save_model

SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "pad_token_id": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "roberta": SMALL,
    "bert": SMALL,
    "electra": {**SMALL, "embedding_size": 16},
    "mpnet": SMALL,
    # As DeBERTa-v3 has them; the config class does not declare some of these fields.
    "deberta-v2": {
        **SMALL,
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "eurobert": {**SMALL, "num_key_value_heads": 2, "head_dim": 16},
    "nomic_bert": {**SMALL, "head_dim": 16},
    "modernbert": {**SMALL, "cls_token_id": 0, "sep_token_id": 2, "bos_token_id": 0, "eos_token_id": 2},
    "distilbert": {"vocab_size": 400, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "pad_token_id": 1},
}


@pytest.fixture(params=CONFIGS)
def encoder(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path: Path) -> Path:
    """A folder with an encoder of random weights, and the tiny tokenizer."""
    import transformers

    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    config = transformers.AutoConfig.for_model(request.param, **CONFIGS[request.param])
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def test_it_loads_to_the_same_labels(encoder, tmp_path):
    model = random_model(encoder, 1, band=6)
    save_model(model, tmp_path / "m", {})
    again = load_model(tmp_path / "m")
    held = model.state_dict()
    assert again.state_dict().keys() == held.keys()
    assert all(torch.equal(value, held[name]) for name, value in again.state_dict().items())
    dialogues = [labeled_dialogue(seed, turns=3) for seed in range(3)]
    assert annotate(again, dialogues) == annotate(model, dialogues)


def test_what_the_architecture_does_not_declare_is_passed_over(tiny_model, tmp_path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    for key, value in {"evil": 1, "output_hidden_states": True, "return_dict": False, "dtype": "load"}.items():
        put("encoder.json", key, value)(folder)
    name_all(folder)
    config: Any = load_model(folder).turn_encoder.encoder.config
    assert not hasattr(config, "evil")
    assert (config.return_dict, config.output_hidden_states, str(config.dtype)) == (True, False, "torch.float32")
    assert "evil" in json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
