"""One run of Weights & Biases for a training, its calibration and its evaluation: what is in it, and what is not."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wandb
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from wandb_files import all_bytes, sessions
from whole_runs import BrokenOffError, break_off_at, common

from labelgen.base.files import digest_file
from labelgen.base.options import read_options
from labelgen.cli.main import main
from labelgen.data.log import write_log
from labelgen.model.folder import model_digest, read_card
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune

KEY = "0123456789abcdef0123456789abcdef01234567"
SECRETS = {"WANDB_API_KEY": KEY, "SERVICE_PASSWORD": "password-canary", "HOSTNAME": "host-canary"}
ANNA = "anna-canary"
INPUTS = ("inputs/validation-data", *["inputs/calibration-data"] * 2, "inputs/evaluation-data")
TRACKED = ("--tracking.wandb=offline", "--tracking.log_every=1", "--length.keep=best")


@dataclass(frozen=True)
class Followed:
    """A training, and what came after it. digests: of the model after training, calibration and certificates."""

    folder: Path
    digests: list[str]
    evaluation: Path
    valid: Path


def write(path: Path, seeds: range) -> Path:
    """Dialogues with a canary in every text, id, user and annotator."""

    def marked(seed: int) -> Any:
        dialogue = labeled_dialogue(seed, turns=1 + seed % 3)
        turns = [
            replace(turn, request=f"{turn.request} request-canary-{seed}", response=f"response-canary-{seed}")
            for turn in dialogue.turns
        ]
        annotations = [replace(one, annotator=ANNA) for one in dialogue.annotations]
        user = f"user-canary-{seed // 2}"
        return replace(dialogue, id=f"id-canary-{seed}", user=user, turns=tuple(turns), annotations=tuple(annotations))

    write_log(path, [marked(seed) for seed in seeds], LABELS)
    return path


def follow(root: Path, encoder: Path) -> Followed:
    """Train, calibrate, certify and evaluate, with canaries in the data and the environment."""
    train, valid = write(root / "log" / "train.jsonl", range(14)), write(root / "log" / "valid.jsonl", range(100, 130))
    folder, evaluation = root / "a", root / "evaluation"
    digests = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        wandb.teardown()  # wandb reads its variables once in a process
        words = common(train, encoder, "a", *TRACKED, f"--data.valid=[{valid}]")
        assert main(["finetune", *words]) == 0
        model = folder / "model"
        digests.append(model_digest(model))
        judged = [str(valid), f"--model={model}", f"--reference={ANNA}"]
        assert main(["calibrate", *judged]) == 0
        digests.append(model_digest(model))
        assert main(["certify", *judged, "--max-error=0.9"]) == 0
        digests.append(model_digest(model))
        assert main(["evaluate", *judged, f"--out={evaluation}", "--slice=user", "--resamples=20"]) == 0
        wandb.teardown()
    return Followed(folder, digests, evaluation, valid)


@pytest.fixture(scope="module")
def followed(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return follow(tmp_path_factory.mktemp("followed"), tiny_encoder)


def test_wandb_run_is_taken_up_by_calibration_and_evaluation(followed: Followed):
    training, *later = sessions(followed.folder)
    assert len(later) == 3
    assert {one.id for one in later} == {training.id}
    address = json.loads((followed.folder / "wandb_run.json").read_text())
    assert address == {"id": training.id, "project": "labelgen", "name": "a", "entity": ""}
    assert training.id.encode() not in b"".join(
        path.read_bytes() for path in (followed.folder / "model").rglob("*.json")
    )
    # Without a config of their own, that of the training stays.
    for one in later:
        (run,) = one.of("run")
        assert run.display_name == "a"
        assert {item.key for item in run.config.update} <= {"_wandb"}


def test_wandb_run_that_breaks_off_counts_as_failed(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log = write(tmp_path / "log" / "train.jsonl", range(8))
    options = read_options(FinetuneOptions, common(log, tiny_encoder, "a", *TRACKED, "--length.steps=2"))
    break_off_at(monkeypatch, 1)
    with pytest.raises(BrokenOffError):
        finetune(options)
    wandb.teardown()  # which waits until the file is whole
    (session,) = sessions(tmp_path / "a")
    assert [one.exit_code for one in session.of("exit")] == [1]


def test_wandb_artifacts_name_model_and_evaluation_by_digest(followed: Followed):
    training, calibrated, certified, evaluated = sessions(followed.folder)
    card = read_card(followed.folder / "model")
    inputs = [
        {item.key: json.loads(item.value_json) for one in session.of("config") for item in one.update}
        for session in sessions(followed.folder)
    ]
    assert inputs[0]["inputs/training-data"] == card["data_digest"]
    assert [name in values for values, name in zip(inputs, INPUTS, strict=True)] == [True] * 4
    model = f"model-{training.id}"
    versions = [session.artifacts[model] for session in (training, calibrated, certified)]
    assert [references(one) for one in versions] == [[digest] for digest in followed.digests]
    assert json.loads(versions[0].metadata)["targets"]["quality"] > 0
    made = evaluated.artifacts["evaluation"]
    assert references(made) == [digest_file(followed.evaluation / "evaluation.json")]
    metadata = json.loads(made.metadata)
    assert metadata["model"] == followed.digests[-1]
    assert metadata["predictions"] == digest_file(followed.evaluation / "predictions.jsonl")


def references(artifact: Any) -> list[str]:
    """Digests that an artifact refers to."""
    return [entry.ref.removeprefix("sha256:") for entry in artifact.manifest.contents if entry.ref]


def test_wandb_evaluation_has_the_numbers_of_its_file(followed: Followed):
    evaluated = sessions(followed.folder)[-1]
    written = json.loads((followed.evaluation / "evaluation.json").read_bytes())
    expected = {
        (task["name"], row["system"], metric): estimate["value"]
        for task in written["tasks"]
        for row in task["rows"]
        for metric, estimate in row["metrics"].items()
    }
    summary = evaluated.summary
    views = {"model": "", "model on the reference's goals": "/on_given_goals"}
    for (task, system, metric), value in expected.items():
        if value is not None:
            key = task.replace(", ", "_").replace(" ", "_") + views[system]
            assert summary[f"evaluation/{key}/{metric}"] == pytest.approx(value)


def test_wandb_folder_has_no_texts_ids_people_or_secrets(followed: Followed):
    written = all_bytes(followed.folder)
    assert len(sessions(followed.folder)) == 4
    for canary in (b"canary", KEY.encode()):
        assert canary not in written
    assert {run.host for session in sessions(followed.folder) for run in session.of("run")} == {""}
    assert not list((followed.folder / "wandb").rglob("requirements.txt"))


@pytest.fixture
def judged(followed: Followed, tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of the training, and words of an evaluation of its model."""
    copy = tmp_path / "copy"
    shutil.copytree(followed.folder, copy)
    return (
        copy,
        [str(followed.valid), f"--reference={ANNA}", f"--out={tmp_path / 'out'}", "--resamples=20", "--task=quality"],
    )


def test_wandb_files_of_model_and_evaluation_where_options_ask(judged: tuple[Path, list[str]]):
    folder, words = judged
    asked = [f"--model={folder / 'model'}", "--wandb-files"]
    assert main(["evaluate", *words, *asked]) == 0
    assert main(["calibrate", *words[:2], *asked, "--force"]) == 0
    wandb.teardown()
    made = {name: one for session in sessions(folder)[-2:] for name, one in session.artifacts.items()}
    paths = {entry.path for one in made.values() for entry in one.manifest.contents}
    assert paths >= {"evaluation.json", "report.html", "model/weights.safetensors", "model/card.json"}
    assert KEY.encode() not in all_bytes(folder)


@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
def test_wandb_failure_leaves_results(
    judged: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    folder, words = judged

    def init(**_: Any) -> None:
        raise wandb.errors.CommError("no connection")

    monkeypatch.setattr(wandb, "init", init)
    if command == "calibrate":
        words = [word for word in words if not word.startswith(("--out", "--task", "--resamples"))] + ["--force"]
    before = model_digest(folder / "model")
    assert main([command, *words, f"--model={folder / 'model'}"]) == 0
    assert capsys.readouterr().err.count("warning: Weights & Biases failed") == 1
    assert (model_digest(folder / "model") != before) == (command == "calibrate")
