"""Labels are a function of model, shard and settings, whatever the number of workers; shards of other sizes change last digits."""

import random
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from labeled import labeled_dialogue
from random_models import random_model
from some_logs import tree

from labelgen.cli.main import main
from labelgen.data.labels import Answers
from labelgen.data.log import Log, write_log
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.labeling.shard import label_shard
from labelgen.model.folder import save_model
from labelgen.steps.label import AnnotatorOptions, load_annotator

PRECISIONS = ("32", "bf16", "onnx", "int8") if find_spec("onnx") and find_spec("onnxruntime") else ("32", "bf16")


def decisions(answers: Answers) -> list[object]:
    return [(x.task, x.at, getattr(x, "name", None)) for x in answers]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_labels_same_shards_same_bytes(precision: str, tiny_encoder: Path, tmp_path: Path):
    """Other shards change at most .5% of the decisions."""
    save_model(random_model(tiny_encoder, 1, 6), tmp_path / "model", {})
    write_log(tmp_path / "in.jsonl", [labeled_dialogue(seed) for seed in range(60)])
    outputs = []
    for workers, shard in ((1, 20), (2, 20), (1, 7)):
        out = tmp_path / f"out-{workers}-{shard}"
        words = ["--workers", str(workers), "--shard-dialogues", str(shard), "--precision", precision]
        assert main(["label", str(tmp_path / "in.jsonl"), str(out), "--model", str(tmp_path / "model"), *words]) == 0
        outputs.append(out / "in.jsonl")
        if precision != "32" and workers == 1 and shard == 20:
            outputs.append(outputs[0])
    first, same, other = (outputs[k] for k in (0, 1, -1))
    assert first.read_bytes() == same.read_bytes()
    ours, theirs = ([x for d in Log([path]) for x in decisions(d.annotations[-1].answers)] for path in (first, other))
    assert len({*ours} ^ {*theirs}) <= 0.005 * len(ours)


class Reloading(InlineEngine):
    """Labels shards in any order, each with an annotator of its own."""

    def __init__(self, load) -> None:
        super().__init__(load)
        self.load = load

    def label(self, shards):
        every = list(shards)
        random.Random(0).shuffle(every)
        for shard in every:
            yield label_shard(shard, self.load())


def test_shards_carry_nothing_to_the_next(tiny_encoder: Path, tmp_path: Path):
    save_model(random_model(tiny_encoder, 1, 6), tmp_path / "model", {})
    write_log(tmp_path / "in" / "log.jsonl", [labeled_dialogue(seed) for seed in range(24)])
    load = partial(load_annotator, AnnotatorOptions(model=tmp_path / "model"))
    label(tmp_path / "in", tmp_path / "one", InlineEngine(load), "model", {}, 5)
    label(tmp_path / "in", tmp_path / "reloaded", Reloading(load), "model", {}, 5)
    assert tree(tmp_path / "one") == tree(tmp_path / "reloaded")
