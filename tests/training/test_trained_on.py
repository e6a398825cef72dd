"""A model's folder knows the dialogues that it learned labels of, also through the model that it began from."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue
from small_training import pretrained

from labelgen.base.errors import IntegrityError
from labelgen.base.files import digest_file
from labelgen.data.log import Log, write_log
from labelgen.model.folder import TRAINED_ON, read_trained_on
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune


def test_trained_on_includes_initial_model(
    options: Callable[..., FinetuneOptions], log: Path, tiny_encoder: Path, tiny_model: Path, tmp_path: Path
):
    known, others = list(Log([log])), [labeled_dialogue(seed) for seed in range(20, 26)]
    write_log(tmp_path / "other" / "train.jsonl", others, LABELS)
    before = pretrained(log, tiny_encoder, tmp_path / "before")
    found = read_trained_on(before)
    assert [found.holds(d) for d in known[:2]] == [False, False], "pretraining learns no labels"
    short = ("--length.steps=1",)
    first = options("first", f"--init={before}", *short)
    finetune(first)
    found = read_trained_on(Path(first.out) / "model")
    assert {found.holds(d) for d in known} == {True}
    assert {found.holds(d) for d in others} == {False}
    words = (f"--data.train=[{tmp_path / 'other' / 'train.jsonl'}]", *short)
    second = options("second", f"--init={Path(first.out) / 'model'}", *words)
    finetune(second)
    found = read_trained_on(Path(second.out) / "model")
    assert {found.holds(d) for d in (*known, *others)} == {True}
    # Of what a model of an earlier version learned nothing is known.
    third = options("third", f"--init={tiny_model}", *words)
    finetune(third)
    found = read_trained_on(Path(third.out) / "model")
    assert {found.holds(d) for d in others} == {True}
    assert {found.holds(d) for d in known} == {None}


def test_trained_on_damaged_file_is_refused(options: Callable[..., FinetuneOptions], tmp_path: Path):
    asked = options("a", "--length.steps=1")
    finetune(asked)
    folder = Path(asked.out) / "model"
    digests = json.loads((folder / "digests.json").read_text())
    assert digests[TRAINED_ON] == digest_file(folder / TRAINED_ON)
    packed = (folder / TRAINED_ON).read_bytes()
    for broken in (packed[:-3], packed[8:16] + packed[:8]):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / TRAINED_ON).write_bytes(broken)
        with pytest.raises(IntegrityError, match="cannot be read"):
            read_trained_on(copy)
