"""Models over encoders of several architectures are saved and load to the same labels, without what is not theirs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from changed_folders import name_all, put
from encoder_kinds import ENCODERS, random_encoder
from labeled import labeled_dialogue
from random_models import random_model

from labelgen.model.annotate import annotate
from labelgen.model.folder import load_model, save_model


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path: Path) -> Path:
    """A folder with an encoder of random weights, and the tiny tokenizer."""
    folder = tmp_path / "encoder"
    random_encoder(request.param, folder, vocab_size=400)
    for path in tiny_encoder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            shutil.copy(path, folder)
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
