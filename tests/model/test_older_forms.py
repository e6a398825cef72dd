"""A model folder of another form is refused, with what to do."""

import shutil
from pathlib import Path

import pytest

from labelgen.base.errors import IntegrityError
from labelgen.model.folder import load_model


def test_model_of_03_is_refused(tiny_model: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    (folder / "config.json").rename(folder / "model.json")
    with pytest.raises(IntegrityError, match=r"labelgen 0\.3 or an earlier version saved this model"):
        load_model(folder)
