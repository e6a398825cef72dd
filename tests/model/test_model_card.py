"""The model card: README.md of a model folder, with the figures that are known and no others; never read, without a digest."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

from huggingface_hub import ModelCard
from random_models import random_model

from labelgen.metrics.results import (
    HUMAN,
    Data,
    Estimate,
    Evaluation,
    Setting,
    SystemRow,
    TaskResult,
)
from labelgen.model.calibration import write_model_card
from labelgen.model.card import model_card
from labelgen.model.folder import check_model, model_digest, save_model

CARD = {
    "data_digest": "ab" * 32,
    "config": {"data": {"train": ["/home/someone/log.jsonl"]}},
    "dialogues": 1200,
    "turns": 5,
}
LABELS = {"quality": ["bad", "fair", "good"]}


def evaluation(**more) -> Evaluation:
    metric = Estimate(value=0.7512, low=0.7, high=0.8, items=90, dialogues=30)
    rows = [SystemRow(system=one, kind="model", metrics={"macro_f1": metric}) for one in ("model", HUMAN)]
    task = TaskResult(name="quality", unit="turn", main_metric="macro_f1", rows=rows)
    data = Data(paths=["/home/someone/test.jsonl"], judged=30)
    return Evaluation(title="t", data=data, setting=Setting(), tasks=[task], **more)


def test_card_of_a_saved_model_has_metadata_and_says_what_is_not_measured(tiny_encoder, tmp_path):
    save_model(random_model(tiny_encoder, 1, band=6), tmp_path / "m", {})
    card = ModelCard((tmp_path / "m" / "README.md").read_text(encoding="utf-8"))
    assert cast(Any, card.data).library_name == "labelgen"
    assert cast(Any, card.data).license is None
    assert cast(Any, card.data).base_model is None
    for part in ("Intended use", "Data", "Metrics", "Calibration and thresholds", "Limits", "License"):
        assert f"\n## {part}\n" in card.text
    assert card.text.count("Not measured.") == 2
    assert "The training data are not known." in card.text


def test_card_has_the_figures_of_the_evaluation_and_no_folders():
    card = ModelCard(model_card(CARD, LABELS, None, evaluation()))
    assert (
        "| quality of a turn | macro_f1 (main) | 0.751 (0.700 to 0.800) | 0.751 (0.700 to 0.800) | 90 | 30 |"
        in card.text
    )
    assert "someone" not in card.content
    assert "log.jsonl" in card.text
    assert "1,200 dialogues" in card.text


def test_card_of_another_system_takes_none_of_the_figures():
    assert "0.751" not in model_card(CARD, LABELS, None, evaluation(), "other")


def test_card_changes_no_digest_and_is_not_read(tiny_model, tmp_path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    write_model_card(folder, evaluation())
    assert "0.751" in (folder / "README.md").read_text(encoding="utf-8")
    (folder / ".gitattributes").write_bytes(b"\xff")
    check_model(folder)
    assert model_digest(folder) == model_digest(tiny_model)
    digests = json.loads((folder / "digests.json").read_text())
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert on_disk - set(digests) == {"README.md", ".gitattributes", "digests.json"}
