"""The real corpora, for tests that read them."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def corpora() -> Path:
    """The folder of the unpacked corpora, each in its published layout."""
    if not os.environ.get("LABELGEN_DATA"):
        pytest.skip("LABELGEN_DATA does not name the folder of the real corpora")
    return Path(os.environ["LABELGEN_DATA"])
