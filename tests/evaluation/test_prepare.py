"""Dialogues that a model was trained on, or that were drawn because they are difficult: told, and nothing is certified on them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from random_models import random_model

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import write_log
from labelgen.data.split import fingerprint, pack
from labelgen.model.calibration import read_calibration
from labelgen.model.folder import COMPLETE, save_model
from labelgen.review.sampling import SampledDialogue, mark_sample

TRAINED, NEW = ([labeled_dialogue(seed, 1 + seed % 3) for seed in seeds] for seeds in (range(60), range(60, 120)))


def marked_as(dialogues: Sequence[Dialogue], how: str) -> list[Dialogue]:
    return [mark_sample(d, SampledDialogue(d.id, rank), how, 0) for rank, d in enumerate(dialogues)]


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose folder says that it was trained on TRAINED."""
    folder = tmp_path_factory.mktemp("model") / "m"
    card = {COMPLETE: True, "learned_from_feedback": False}
    save_model(random_model(tiny_encoder, 1, band=6), folder, card, pack(map(fingerprint, TRAINED)))
    return folder


@pytest.fixture
def log(tmp_path: Path):
    def written(dialogues: Sequence[Dialogue]) -> Path:
        path = tmp_path / "log.jsonl"
        write_log(path, dialogues, LABELS, force=True)
        return path

    return written


def evaluated(log: Path, out: Path, *words: object) -> tuple[dict[str, Any], str]:
    """The evaluation, and the head of its report."""
    given = ["evaluate", log, "--reference", "anna", "--task", "intents", "--resamples", 10, "--out", out, *words]
    assert main([str(word) for word in given]) == 0
    html = (out / "report.html").read_text()
    return json.loads((out / "evaluation.json").read_text()), html[html.index("<header") : html.index("<nav")]


def test_a_dialogue_is_known_again_by_id_and_texts_alone():
    one = TRAINED[0]
    assert fingerprint(replace(one, annotations=(), source="elsewhere", device=None, user="u")) == fingerprint(one)
    shouted = tuple(replace(turn, request=f" {turn.request.upper()} ") for turn in one.turns)
    assert fingerprint(replace(one, turns=shouted)) == fingerprint(one)
    for other in (replace(one, id="x"), replace(one, turns=(*one.turns, one.turns[0])), replace(one, turns=())):
        assert fingerprint(other) != fingerprint(one)
    assert len({fingerprint(d) for d in (*TRAINED, *NEW)}) == 120


def test_an_evaluation_on_training_dialogues_says_so_at_its_head(model: Path, log, tmp_path: Path, capsys):
    path = log([*TRAINED[:7], *NEW[:23]])
    found, head = evaluated(path, tmp_path / "e", "--model", model)
    assert found["data"]["annotated"] == [{"system": "model", "kind": "model", "dialogues": 30, "trained_on": 7}]
    assert "model was trained on 7 of the 30 judged dialogues" in head
    assert "model was trained on 7 of the 30 judged dialogues" in capsys.readouterr().err
    # Labels from a file say it themselves.
    assert main(["label", str(path), str(tmp_path / "labeled"), "--model", str(model), "--workers", "1"]) == 0
    _, head = evaluated(path, tmp_path / "p", "--predictions", tmp_path / "labeled" / "log.jsonl")
    assert "model was trained on 7 of the 30 judged dialogues" in head
    _, head = evaluated(log(NEW), tmp_path / "n", "--model", model)
    assert "caveat" not in head


@pytest.mark.parametrize(("how", "named"), [("abstained", True), ("informative", True), ("audit", False)])
def test_a_sample_of_difficult_dialogues_is_named_at_the_head(model: Path, log, tmp_path: Path, how: str, named: bool):
    path = log([*marked_as(NEW[:20], how), *NEW[20:30]])
    refused = tmp_path / "refused"
    assert main(["evaluate", str(path), "--out", str(refused), "--model", str(model), "--reference", "anna"]) == (
        2 if named else 0
    )
    assert refused.exists() != named
    found, head = evaluated(path, tmp_path / "e", "--model", model, "--allow-informative")
    assert found["data"]["drawn_for_difficulty"] == ({how: 20} if named else {})
    said = f"20 of the 30 judged dialogues were drawn because they are difficult ({how} 20)"
    assert (said in head) == named


def calibrated(log: Path, folder: Path) -> int:
    return main(["certify", str(log), "--model", str(folder), "--reference", "anna", "--max-error", "0.8", "--force"])


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [(TRAINED, "the model was trained on them"), (marked_as(NEW, "informative"), "drawn because they are difficult")],
)
def test_nothing_is_certified_on_dialogues_that_are_no_evidence(
    model: Path, log, tmp_path: Path, capsys, unfit: list[Dialogue], reason: str
):
    import shutil

    folder = tmp_path / "m"
    shutil.copytree(model, folder)
    assert calibrated(log(unfit), folder) == 2
    assert reason in capsys.readouterr().err
    assert read_calibration(folder) is None
    new = [replace(d, id=f"new-{d.id}") for d in NEW[:40]]
    assert calibrated(log([*unfit, *new]), folder) == 0
    assert "60 dialogues are left out: " in capsys.readouterr().err
    both = read_calibration(folder)
    assert calibrated(log(new), folder) == 0
    alone = read_calibration(folder)
    assert both is not None
    assert alone is not None
    assert (both.data_digest, both.tasks) == (alone.data_digest, alone.tasks)


def test_a_rate_leaves_out_what_the_model_was_trained_on_and_peoples_word_on_difficult_dialogues(
    model: Path, log, tmp_path: Path, capsys
):
    def rates(dialogues: Sequence[Dialogue], code: int = 0) -> Any:
        path = log(dialogues)
        labeled, out = tmp_path / "labeled", tmp_path / "rates.json"
        words = ["label", str(path), str(labeled), "--model", str(model), "--workers", "1", "--force"]
        assert main(words) == 0
        words = ["estimate", str(labeled / "log.jsonl"), "--reference", "anna", "--out", str(out), "--force"]
        assert main([*words, "--task", "quality", "--label", "bad"]) == code
        return json.loads(out.read_text()) if not code else None

    bare = [replace(d, annotations=()) for d in NEW[30:]]
    hard = marked_as(NEW[20:30], "abstained")
    [found] = rates([*TRAINED[:25], *NEW[:20], *hard, *bare])
    told = capsys.readouterr().out
    assert "25 dialogues are left out: model was trained on them" in told
    assert "of 10 dialogues people's labels are passed over" in told
    assert (found["dialogues"], found["labeled_by_people"]) == (60, 20)
    assert (found["trained_on"], found["drawn_for_difficulty"]) == (25, 10)
    [plain] = rates([*NEW[:20], *(replace(d, annotations=()) for d in hard), *bare])
    for kind in ("people_alone", "prediction_powered"):
        assert found[kind] == plain[kind]
    rates(TRAINED, code=3)
    assert "no dialogue is left that is new to model" in capsys.readouterr().err
