"""A model folder of another form is refused, with what to do."""

import shutil
from pathlib import Path

import pytest
from changed_folders import name_all, put

from labelgen.base.errors import IntegrityError
from labelgen.model.folder import FORM, load_model


@pytest.mark.parametrize("form", [FORM - 1, FORM + 1])
def test_model_of_another_form_is_refused(tiny_model: Path, tmp_path: Path, form: int):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    put("config.json", "form", form)(folder)
    name_all(folder)
    with pytest.raises(IntegrityError, match=f"form {form}, this version reads {FORM}") as refused:
        load_model(folder)
    assert "train it again" in str(refused.value)


def test_model_of_03_is_refused(tiny_model: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    (folder / "config.json").rename(folder / "model.json")
    with pytest.raises(IntegrityError, match=r"labelgen 0\.3 or an earlier version saved this model"):
        load_model(folder)
