"""labelgen calibrate, and labeling with what it found; with a tiny model of random weights."""

import json
import shutil
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.cli.main import main
from labelgen.data.labels import scope
from labelgen.data.log import Log, write_log
from labelgen.model.annotator import Annotator
from labelgen.model.calibration import read_calibration
from labelgen.model.folder import check_model, model_digest


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """Some users have several dialogues."""
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    dialogues = [labeled_dialogue(seed, turns=1 + seed % 3) for seed in range(90)]
    write_log(path, [replace(d, user=f"u{k // 2}") for k, d in enumerate(dialogues)], LABELS)
    return path


@pytest.fixture(scope="module")
def calibrated(tiny_model, log, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "m"
    shutil.copytree(tiny_model, folder)
    words = [str(log), "--model", str(folder), "--reference", "anna"]
    assert main(["calibrate", *words]) == 0
    scaled = read_calibration(folder)
    assert scaled is not None
    assert not scaled.thresholds()
    assert all(one.certificate is None for one in scaled.tasks)
    assert main(["certify", *words, "--max-error", "0.8", "--confidence", "0.9"]) == 0
    return folder


def test_the_folder_stays_whole_and_is_another_model(tiny_model, calibrated):
    check_model(calibrated)
    assert model_digest(calibrated) != model_digest(tiny_model)
    found = read_calibration(calibrated)
    assert found is not None
    assert found.model_digest == model_digest(tiny_model)
    assert found.thresholds()
    assert all(one.certificate and (one.threshold is not None or one.certificate.reason) for one in found.tasks)
    assert not list(calibrated.parent.glob(".*"))


def test_what_is_below_the_threshold_is_left_out_and_the_manifest_adds_up(calibrated, log, tmp_path):
    words = ["label", str(log), str(tmp_path / "out"), "--model", str(calibrated), "--workers", "1"]
    assert main(words) == 0
    assert main(["verify", str(tmp_path / "out"), "--input", str(log)]) == 0
    found = read_calibration(calibrated)
    assert found is not None
    least = {(t.task, t.unit): t.probability for t in found.thresholds()}
    abstained = 0
    for dialogue in Log([tmp_path / "out" / "log.jsonl"]):
        said = dialogue.annotation("model")
        assert said is not None
        assert said.provenance is not None
        assert said.provenance.thresholds == found.thresholds()
        abstained += len(said.abstained)
        for label in said.labels:
            unit = {"AtTurn": "turn", "AtDialogue": "dialogue", "AtGoal": "goal"}[type(scope(label).at).__name__]
            # A certificate of causes does not count the turns at which no failure begins.
            assert (label.task, label.name) == ("cause", "none") or (label.probability or 0) >= least.get(
                (label.task, unit), 0
            )
        assert all(none.probability is not None for none in said.none)
    assert abstained
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    turns = manifest["counts"]["turns"]
    by_turn = [t for t in manifest["counts"]["tasks"] if t["unit"] == "turn" and t["task"] != "order"]
    assert {t["labeled"] + t["abstained"] for t in by_turn} == {turns}
    assert sum(t["abstained"] for t in manifest["counts"]["tasks"]) == abstained


def test_it_is_not_done_twice_unasked_and_the_same_again_gives_the_same_bytes(calibrated, tiny_model, log, tmp_path):
    words, levels = [str(log), "--reference", "anna"], ["--max-error", "0.8", "--confidence", "0.9"]
    assert main(["calibrate", *words, "--model", str(calibrated)]) == 2
    assert main(["certify", *words, "--model", str(calibrated), *levels]) == 2
    folder = tmp_path / "again"
    shutil.copytree(tiny_model, folder)
    for more in ([], ["--force"]):
        assert main(["calibrate", *words, "--model", str(folder), *more]) == 0
        assert main(["certify", *words, "--model", str(folder), *levels, *more]) == 0
    ours, theirs = (json.loads((f / "calibration.json").read_text()) for f in (calibrated, folder))
    for found in (ours, theirs):
        del found["command"], found["certify_command"]
    assert ours == theirs


def test_a_changed_calibration_is_exit_4(calibrated, log, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(calibrated, folder)
    path = folder / "calibration.json"
    path.write_text(path.read_text().replace('"confidence": 0.9', '"confidence": 0.99'))
    assert main(["label", str(log), str(tmp_path / "out"), "--model", str(folder), "--workers", "1"]) == 4


def test_weights_decide_what_is_said_and_probabilities_stay(tiny_model, log, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(tiny_model, folder)
    words = ["calibrate", str(log), "--model", str(folder), "--reference", "anna"]
    assert main([*words, "--decide", "macro_f1", "--ratings", "mean"]) == 0
    found = read_calibration(folder)
    assert found is not None
    weighted = {(one.task, one.unit) for one in found.tasks if one.labels.weights}
    assert ("quality", "turn") in weighted
    assert not {task for task, _ in weighted} & {"goals", "intents", "slots"}
    plain = _said(tiny_model, log)
    said = _said(folder, log)
    assert said.keys() == plain.keys()
    others = [x for place, x in said.items() if x.task == "quality" and x.name != plain[place].name]
    assert others
    assert all(x.distribution is not None and x.probability == dict(x.distribution)[x.name] for x in others)


def _said(folder, log):
    """Every label of an exclusive task, given or withheld, by its place."""
    return {
        (k, label.at, label.task): label
        for k, said in enumerate(Annotator(folder).annotate(list(Log([log]))))
        for label in (*said.labels, *(x for one in said.abstained for x in one.best))
        if label.distribution is not None
    }


def test_a_certificate_is_refused_for_labels_in_another_precision(calibrated, tiny_model, log, tmp_path, capsys):
    found = read_calibration(calibrated)
    assert found is not None
    assert (found.precision, bool(found.thresholds())) == ("32", True)
    words = ["label", str(log), str(tmp_path / "out"), "--model", str(calibrated), "--workers", "1"]
    assert main([*words, "--precision", "bf16"]) == 2
    said = capsys.readouterr().err
    assert "certified for precision 32, not for bf16" in said
    with pytest.raises(UsageError, match="certified for precision 32"):
        Annotator(calibrated, precision="bf16")
    assert Annotator(calibrated, precision="bf16", calibrated=False).precision == "bf16"


def test_threshold_of_the_user_takes_the_place_of_a_certified_one(calibrated, tiny_model, log, tmp_path):
    """In any precision, since it promises nothing, and without a calibration too."""
    for name, folder in (("calibrated", calibrated), ("plain", tiny_model)):
        words = ["label", str(log), str(tmp_path / name), "--model", str(folder), "--workers", "1"]
        assert main([*words, "--threshold", "intents=1", "--threshold", "quality=0"]) == 0
        assert main(["verify", str(tmp_path / name), "--input", str(log), "--sample", "3", "--model", str(folder)]) == 0
        for dialogue in Log([tmp_path / name / "log.jsonl"]):
            said = dialogue.annotation("model")
            assert said is not None
            assert said.provenance is not None
            chosen = {t.task: t.probability for t in said.provenance.thresholds if t.task in ("intents", "quality")}
            assert chosen == {"intents": 1.0, "quality": 0.0}
            assert all(label.probability == 1.0 for label in said.labels if label.task == "intents")
            assert not any(one.field.task == "quality" for one in said.abstained)
    assert main([*words, "--threshold", "intents=0.5"]) == 4, "labels by other thresholds are in the folder"
    every = dict.fromkeys(("goals", "outcome", "quality", "cause", "intents", "slots", "order"), 0.5)
    assert Annotator(calibrated, precision="bf16", thresholds=every).precision == "bf16"


def test_out_of_fold_predictions_take_the_place_of_the_model(tiny_model, log, tmp_path, capsys):
    """Predictions that equal the model's give its calibration; others do not, and a log without them is refused."""
    dialogues = list(Log([log]))
    made = Annotator(tiny_model, name="oof").annotate(dialogues)
    predicted = tmp_path / "predicted.jsonl"
    write_log(
        predicted, [replace(d, annotations=(*d.annotations, a)) for d, a in zip(dialogues, made, strict=True)], LABELS
    )
    tasks = {}
    for name, words in {"own": [str(log)], "oof": [str(predicted), "--predictions", "oof"]}.items():
        folder = tmp_path / name
        shutil.copytree(tiny_model, folder)
        assert main(["calibrate", *words, "--model", str(folder), "--reference", "anna", "--decide", "macro_f1"]) == 0
        calibration = read_calibration(folder)
        assert calibration is not None
        tasks[name] = calibration.tasks
    assert tasks["own"] == tasks["oof"]
    words = ["calibrate", str(log), "--model", str(tmp_path / "own"), "--reference", "anna", "--predictions", "oof"]
    assert main(words) == 3
    assert "no labels of oof" in capsys.readouterr().err


def test_predictions_of_a_model_that_knows_the_dialogues_are_left_out(tiny_model, log, tmp_path, capsys):
    dialogues = list(Log([log]))
    made = Annotator(tiny_model, name="oof").annotate(dialogues)
    known = []
    for d, a in zip(dialogues, made, strict=True):
        assert a.provenance is not None
        annotation = replace(a, provenance=replace(a.provenance, trained_on=True))
        known.append(replace(d, annotations=(*d.annotations, annotation)))
    write_log(tmp_path / "known.jsonl", known, LABELS)
    folder = tmp_path / "m"
    shutil.copytree(tiny_model, folder)
    words = ["calibrate", str(tmp_path / "known.jsonl"), "--model", str(folder), "--reference", "anna"]
    assert main([*words, "--predictions", "oof"]) == 2
    assert "left out" in capsys.readouterr().err
