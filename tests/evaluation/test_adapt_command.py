"""labelgen adapt, with a tiny model of random weights: a new folder whose labels follow the new log."""

import json
import shutil
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace

from labelgen.base.errors import IntegrityError
from labelgen.base.files import digest_file
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtTurn
from labelgen.data.log import write_log
from labelgen.model.annotator import Annotator
from labelgen.model.calibration import CALIBRATION, read_calibration
from labelgen.model.folder import DIGESTS, check_model, model_digest


def rated_bad(dialogue: Dialogue) -> Dialogue:
    """The dialogue with nearly every turn rated bad."""
    [annotation] = dialogue.annotations
    labels = tuple(
        replace(label, name="bad") if label.task == "quality" and label.at != AtTurn(3) else label
        for label in annotation.labels
    )
    return replace(dialogue, annotations=(replace(annotation, labels=labels),))


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder / "calib.jsonl", [labeled_dialogue(seed) for seed in range(120)], LABELS)
    write_log(folder / "strict.jsonl", [rated_bad(labeled_dialogue(seed, 5)) for seed in range(500, 512)], LABELS)
    write_log(folder / "few.jsonl", [labeled_dialogue(seed) for seed in range(500, 503)], LABELS)
    return folder


@pytest.fixture(scope="module")
def model(tiny_model, logs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "m"
    shutil.copytree(tiny_model, folder)
    words = [str(logs / "calib.jsonl"), "--model", str(folder), "--reference", "anna"]
    assert main(["calibrate", *words, "--decide", "macro_f1"]) == 0
    assert main(["certify", *words, "--max-error", "0.8", "--confidence", "0.9"]) == 0
    return folder


def adapt(model: Path, log: Path, out: Path, *more: str) -> int:
    return main(["adapt", str(log), "--model", str(model), "--out", str(out), "--reference", "anna", *more])


@pytest.fixture(scope="module")
def adapted(model, logs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapted") / "new" / "m"
    assert adapt(model, logs / "strict.jsonl", folder) == 0
    return folder


def test_new_folder_is_whole_has_its_origin_and_no_certificate_and_the_old_one_stays(model, adapted):
    check_model(adapted)
    old, new = read_calibration(model), read_calibration(adapted)
    assert old is not None
    assert new is not None
    assert old.thresholds()
    assert not new.thresholds()
    assert (new.model_digest, new.data_digest, new.command) == (old.model_digest, old.data_digest, old.command)
    assert new.adapt_command.startswith("labelgen adapt")
    assert len(new.adapt_data_digest) == 64
    assert model_digest(adapted) != model_digest(model)
    check_model(model)


def test_dialogues_that_adapted_are_not_certified_on(adapted, logs, tmp_path, capsys):
    folder = tmp_path / "m"
    shutil.copytree(adapted, folder)
    assert main(["certify", str(logs / "strict.jsonl"), "--model", str(folder), "--reference", "anna"]) == 2
    assert "the calibration was fitted on them" in capsys.readouterr().err


def test_labels_follow_the_new_log(model, adapted):
    dialogues = [labeled_dialogue(seed, 5) for seed in range(900, 920)]

    def bad(folder: Path) -> float:
        annotations = Annotator(folder).annotate(dialogues)
        given = [x for a in annotations for x in a.labels if x.task == "quality" and isinstance(x.at, AtTurn)]
        return sum(dict(x.distribution or ())["bad"] for x in given) / len(given)

    assert bad(adapted) > bad(model) + 0.2


def test_tasks_whose_labels_did_not_shift_keep_their_scaling(model, adapted):
    scalings = []
    for folder in (model, adapted):
        calibration = read_calibration(folder)
        assert calibration is not None
        scalings.append(
            {one.task: (one.labels, one.none) for one in calibration.tasks if one.task in ("intents", "slots")}
        )
    assert scalings[0] == scalings[1]


def test_too_few_labels_an_output_that_exists_and_no_calibration_are_refused(
    model, adapted, tiny_model, logs, tmp_path, capsys
):
    assert adapt(model, logs / "few.jsonl", tmp_path / "m") == 3
    assert "5 are needed" in capsys.readouterr().err
    assert adapt(model, logs / "strict.jsonl", adapted) == 2
    assert "exists already" in capsys.readouterr().err
    assert adapt(model, logs / "strict.jsonl", model, "--force") == 2
    assert "is the model to adapt" in capsys.readouterr().err
    assert adapt(model, logs / "strict.jsonl", logs, "--force") == 2
    assert "is not a model folder" in capsys.readouterr().err
    assert (logs / "strict.jsonl").is_file()
    assert adapt(tiny_model, logs / "strict.jsonl", tmp_path / "m") == 2
    assert "is not calibrated" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("bias", [[1.0], [1.0, 1e999, 0.0]])
def test_calibration_with_another_number_of_biases_or_an_infinite_one_is_refused(adapted, tmp_path, bias):
    folder = tmp_path / "m"
    shutil.copytree(adapted, folder)
    content = json.loads((folder / CALIBRATION).read_text())
    next(one for one in content["tasks"] if one["task"] == "quality")["labels"]["bias"] = bias
    (folder / CALIBRATION).write_text(json.dumps(content).replace("Infinity", "1e999"))
    digests = json.loads((folder / DIGESTS).read_text())
    (folder / DIGESTS).write_text(json.dumps({**digests, CALIBRATION: digest_file(folder / CALIBRATION)}))
    with pytest.raises(IntegrityError):
        read_calibration(folder)
