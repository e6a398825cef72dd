"""A log, and the options of a small run on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue
from whole_runs import common

from labelgen.base.options import read_options
from labelgen.data.log import write_log
from labelgen.training.options import FinetuneOptions


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log" / "train.jsonl"
    write_log(path, [labeled_dialogue(seed) for seed in range(14)], LABELS)
    return path


@pytest.fixture
def options(log: Path, tiny_encoder: Path) -> Callable[..., FinetuneOptions]:
    def make(out: str, *argv: str) -> FinetuneOptions:
        return read_options(FinetuneOptions, [*common(log, tiny_encoder, out, *argv)])

    return make
