"""A model folder of another form is refused, with what to do."""

import json
from pathlib import Path

import pytest
from changed_folders import name_all
from random_models import random_model

from labelgen.base.errors import IntegrityError
from labelgen.model.folder import FORM, load_model, save_model


@pytest.mark.parametrize("form", [FORM - 1, FORM + 1])
def test_model_of_another_form_is_refused(tiny_encoder: Path, tmp_path: Path, form: int):
    folder = tmp_path / "m"
    save_model(random_model(tiny_encoder, 1, band=6), folder, {})
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**saved, "form": form}), encoding="utf-8")
    name_all(folder)
    with pytest.raises(IntegrityError, match=f"form {form}, this version reads {FORM}") as refused:
        load_model(folder)
    assert "train it again" in str(refused.value)


def test_model_of_03_is_refused(tiny_encoder: Path, tmp_path: Path):
    save_model(random_model(tiny_encoder, 1, band=6), tmp_path / "m", {})
    (tmp_path / "m" / "config.json").rename(tmp_path / "m" / "model.json")
    with pytest.raises(IntegrityError, match=r"labelgen 0\.3 or an earlier version saved this model"):
        load_model(tmp_path / "m")
