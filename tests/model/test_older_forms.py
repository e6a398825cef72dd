"""A folder of an earlier form loads where its weights still fit, and is refused by name where they do not."""

import json
from pathlib import Path

import pytest
import torch
from random_models import random_model
from safetensors.torch import load_file, save_file

from labelgen.base.errors import IntegrityError
from labelgen.base.files import digest_file
from labelgen.model.calibration import write_model_card
from labelgen.model.folder import FORM, check_model, load_model, save_model


def as_if_saved(folder: Path, form: int) -> None:
    """With another form in config.json, and digests that agree."""
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    saved["features"].pop("words", None)
    for name in ("words", "overlaps", "windows"):
        saved["options"].pop(name, None)
    for task in saved["tasks"].values():
        task["options"].pop("parts", None)
        task["options"].pop("without_texts", None)
    (folder / "config.json").write_text(json.dumps({**saved, "form": form}), encoding="utf-8")
    digests = json.loads((folder / "digests.json").read_text(encoding="utf-8"))
    digests = {name: digest_file(folder / name) for name in digests}
    (folder / "digests.json").write_text(json.dumps(digests), encoding="utf-8")


@pytest.fixture
def folder(tiny_encoder, tmp_path) -> Path:
    save_model(random_model(tiny_encoder, 1, band=6), tmp_path / "m", {})
    return tmp_path / "m"


def test_one_whose_weights_fit_loads(folder):
    before = load_model(folder).state_dict()
    as_if_saved(folder, 1)
    after = load_model(folder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_one_that_knew_no_windows_truncates_long_texts(folder):
    assert load_model(folder).options.windows > 1
    as_if_saved(folder, 4)
    model = load_model(folder)
    assert model.options.windows == 1
    (tokens,) = model.tokenizer(["play the red lamp " * 200])
    assert tokens.windows == (tokens.truncated,)


def test_one_whose_weights_of_one_number_were_scalars_loads(folder):
    before = load_model(folder).state_dict()
    weights = load_file(folder / "weights.safetensors")
    vectors = [name for name, one in weights.items() if one.shape == (1,)]
    assert vectors
    save_file(
        {name: one.reshape(()) if name in vectors else one for name, one in weights.items()},
        folder / "weights.safetensors",
    )
    as_if_saved(folder, 4)
    after = load_model(folder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    as_if_saved(folder, FORM)
    with pytest.raises(IntegrityError, match="weights are not those of this model"):
        load_model(folder)


def test_one_whose_head_was_another_is_refused(folder):
    weights = load_file(folder / "weights.safetensors")
    weights["heads.quality.turn.0.weight"] = weights["heads.quality.turn.0.weight"][:, :32].contiguous()
    save_file(weights, folder / "weights.safetensors")
    as_if_saved(folder, 1)
    with pytest.raises(IntegrityError, match="its heads of quality were of another form") as refused:
        load_model(folder)
    assert "train it again (labelgen finetune;" in str(refused.value)


def test_every_head_that_was_another_is_named(folder):
    weights = load_file(folder / "weights.safetensors")
    weights["heads.quality.turn.0.weight"] = weights["heads.quality.turn.0.weight"][:, :32].contiguous()
    del weights["heads.intents.some.weight"]
    save_file(weights, folder / "weights.safetensors")
    as_if_saved(folder, 2)
    with pytest.raises(IntegrityError, match="its heads of intents, quality were"):
        load_model(folder)


def test_a_later_one_is_refused(folder):
    as_if_saved(folder, FORM + 1)
    with pytest.raises(IntegrityError, match=f"form {FORM + 1}"):
        load_model(folder)


def test_folder_with_model_json_loads_and_gets_a_model_card(folder):
    before = load_model(folder).state_dict()
    (folder / "config.json").rename(folder / "model.json")
    digests = json.loads((folder / "digests.json").read_text(encoding="utf-8"))
    digests["model.json"] = digests.pop("config.json")
    (folder / "digests.json").write_text(json.dumps(digests), encoding="utf-8")
    after = load_model(folder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    write_model_card(folder)
    check_model(folder)
