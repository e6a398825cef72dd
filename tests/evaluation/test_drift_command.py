"""labelgen drift, and what label and report make of it; with a tiny model of random weights."""

import json
import shutil
from pathlib import Path

import pytest
from labeled import INTENTS, LABELS, WORDS, labeled_dialogue
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.evaluation.calibrate import MOST, Draw
from labelgen.metrics.results import Drift, read_drift
from labelgen.model.reference import REFERENCE, encode_reference, read_reference


def dialogues(first: int, count: int) -> list[Dialogue]:
    return [replace(labeled_dialogue(seed), user=f"user-{seed // 2}") for seed in range(first, first + count)]


def shifted(dialogue: Dialogue) -> Dialogue:
    """The same dialogue on a device and with a status that the model has not seen."""
    return replace(dialogue, device="car", turns=tuple(replace(turn, status="broken") for turn in dialogue.turns))


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder / "calib.jsonl", dialogues(0, 160), LABELS)
    write_log(folder / "same.jsonl", dialogues(5000, 60), LABELS)
    write_log(folder / "other.jsonl", map(shifted, dialogues(2000, 60)), LABELS)
    unlabeled = (replace(d, annotations=()) for d in dialogues(3000, 60))
    write_log(folder / "unlabeled.jsonl", unlabeled, LABELS)
    return folder


@pytest.fixture(scope="module")
def model(tiny_model, logs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "m"
    shutil.copytree(tiny_model, folder)
    words = [str(logs / "calib.jsonl"), "--model", str(folder), "--reference", "anna"]
    assert main(["calibrate", *words]) == 0
    assert main(["certify", *words, "--max-error", "0.8", "--confidence", "0.9"]) == 0
    return folder


def drift(model: Path, log: Path, out: Path, reference: str = "anna") -> Drift:
    assert main(["drift", str(log), "--model", str(model), "--reference", reference, "--out", str(out)]) == 0
    return read_drift(out)


def test_a_log_like_the_calibration_has_no_differences_and_no_void_certificate(model, logs, tmp_path):
    result = drift(model, logs / "same.jsonl", tmp_path / "drift.json")
    assert (result.dialogues, result.labeled) == (30, 30)
    assert {test.kind for test in result.tests} == {"inputs", "predictions", "labels"}
    assert not any(test.drifted for test in result.tests)
    assert not result.void


def test_another_log_differs_where_it_was_changed_and_voids_the_certificates(model, logs, tmp_path, capsys):
    result = drift(model, logs / "other.jsonl", tmp_path / "drift.json")
    differing = {test.name: test for test in result.tests if test.drifted and test.kind == "inputs"}
    assert set(differing) == {"device", "status"}
    assert differing["device"].column in ("(not in the training data)", "speaker")
    certified = json.loads((model / "calibration.json").read_text())["tasks"]
    thresholds = {(one["task"], one["unit"]) for one in certified if one["certificate"]["threshold"] is not None}
    assert {(one.task, one.unit) for one in result.void} == thresholds
    assert "void: the certificate of" in capsys.readouterr().out


def test_label_marks_void_certificates_with_the_reason_and_changes_no_label(model, logs, tmp_path, capsys):
    result = drift(model, logs / "other.jsonl", tmp_path / "drift.json")
    plain, marked = tmp_path / "plain", tmp_path / "marked"
    words = ["label", str(logs / "other.jsonl")]
    end = ["--model", str(model), "--workers", "1"]
    assert main([*words, str(plain), *end]) == 0
    capsys.readouterr()
    for _ in range(2):
        assert main([*words, str(marked), *end, "--drift", str(tmp_path / "drift.json")]) == 0
        assert "void: the certificate of" in capsys.readouterr().out
    reasons = {(one.task, one.unit): one.reason for one in result.void}
    for before, after in zip(Log([plain / "other.jsonl"]), Log([marked / "other.jsonl"]), strict=True):
        first, second = before.annotation("model"), after.annotation("model")
        assert first is not None
        assert first.provenance is not None
        assert second is not None
        assert second.provenance is not None
        assert (first.labels, first.none, first.abstained) == (second.labels, second.none, second.abstained)
        assert all(one.void is None for one in first.provenance.thresholds)
        assert {(one.task, one.unit): one.void for one in second.provenance.thresholds} == reasons
    check = ["verify", str(marked), "--input", str(logs / "other.jsonl"), "--sample", "3", "--model", str(model)]
    assert main(check) == 0
    # Labels with and without the marks are not mixed in one folder.
    assert main([*words, str(marked), *end]) == 4


def test_model_without_a_calibration_is_compared_with_another_log(tiny_model, logs, tmp_path):
    words = ["--model", str(tiny_model), "--reference", "anna", "--against", str(logs / "calib.jsonl")]
    differing = {}
    for name in ("same", "other"):
        out = tmp_path / f"{name}.json"
        assert main(["drift", str(logs / f"{name}.jsonl"), *words, "--out", str(out)]) == 0
        result = read_drift(out)
        assert {test.kind for test in result.tests} == {"inputs", "predictions", "labels"}
        assert not result.void
        differing[name] = {test.name for test in result.tests if test.drifted and test.kind == "inputs"}
    assert differing == {"same": set(), "other": {"device", "status"}}


def test_reference_is_read_as_it_was_written_and_names_no_text_user_or_dialogue(model):
    content = (model / REFERENCE).read_text()
    known = read_reference(model)
    assert known is not None
    assert encode_reference(known) == content
    names = {*INTENTS, *(name.lower() for name in INTENTS)}
    strings = set(content.split('"')[1::2])
    assert not {word for word in WORDS if word in strings} - names
    assert not any(text.startswith(("user-", "d1", "d2")) for text in strings)


def test_draw_from_a_long_log_is_bounded_and_does_not_depend_on_the_order():
    one = labeled_dialogue(0)
    many = [replace(one, id=f"d{k}", source="ab"[k % 2]) for k in range(5 * MOST)]
    drawn = Draw(many).dialogues()
    assert len(drawn) == 2 * MOST
    assert {d.id for d in Draw(many[::-1]).dialogues()} == {d.id for d in drawn}
