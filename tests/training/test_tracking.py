"""Metrics of a run: TensorBoard and Lightning's loggers get the rows of metrics.jsonl, and Weights & Biases may fail."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import wandb
from pytorch_lightning.loggers import CSVLogger
from whole_runs import BrokenOffError, break_off_at, common

from labelgen.base.errors import UsageError
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune
from labelgen.training.tracking import read_metrics
from labelgen.training.wandb_run import WandbRun, run_of_training

EVERY_STEP = ("--tracking.log_every=1", "--tracking.checkpoint_every=2", "--length.max_epochs=2")


def test_tensorboard_of_a_resumed_run_has_every_row_once(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    asked = options("a", f"--data.valid=[{log}]", *EVERY_STEP, "--tracking.tensorboard=true")
    with monkeypatch.context() as patch:
        break_off_at(patch, 5)
        with pytest.raises(BrokenOffError):
            finetune(asked)
    finetune(asked)
    rows = read_metrics(Path(asked.out) / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    events = EventAccumulator(str(Path(asked.out) / "tensorboard"))
    events.Reload()
    for name in ("loss", "valid_loss", "valid/goals/pk"):
        wanted = [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows if name in row]
        assert wanted
        assert [(one.step, one.value) for one in events.Scalars(name)] == wanted


def test_missing_tensorboard_is_refused_before_logs_are_read(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    log.write_text("broken{\n")
    monkeypatch.setattr("labelgen.training.run.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed"):
        finetune(options("a", "--tracking.tensorboard=true"))
    assert not Path(options("a").out).exists()


def test_loggers_and_callbacks_of_lightning_take_part(options: Callable[..., FinetuneOptions], tmp_path: Path):
    steps = []

    class Seen(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            steps.append(trainer.global_step)

    asked = options("a", "--tracking.log_every=1", "--length.steps=2")
    finetune(asked, [Seen()], [CSVLogger(tmp_path, name="mine", version="")])
    assert steps[-1] == 2
    losses = [row["loss"] for row in read_metrics(Path(asked.out) / "metrics.jsonl")]
    header, *lines = (tmp_path / "mine" / "metrics.csv").read_text().splitlines()
    written = [float(line.split(",")[header.split(",").index("loss")]) for line in lines]
    assert written == losses


@pytest.fixture
def init(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The words of each call of wandb.init, which is not made."""
    calls: list[dict[str, Any]] = []

    def note(**words: Any) -> Any:
        calls.append(words)
        return SimpleNamespace(url="https://wandb.example/run", finish=lambda **_: None)

    monkeypatch.setattr(wandb, "init", note)
    for name in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    return calls


def session(folder: Path) -> None:
    run = run_of_training(folder, "online")
    assert run is not None
    run.start({})
    run.end()


def test_wandb_sessions_share_the_run_that_variables_name(
    tmp_path: Path, init: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    session(tmp_path / "a")
    session(tmp_path / "a")
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    session(tmp_path / "a")
    session(tmp_path / "b")
    named = [(words["id"], words["project"], words["name"], words["resume"]) for words in init]
    assert named[0] == named[1] == named[2]
    assert named[0][1:] == ("labelgen", "a", "allow")
    assert named[3] == ("abc", "ours", "b", "allow")
    assert "wandb.example" in capsys.readouterr().err


@pytest.mark.parametrize("bad", ["init", "log_metrics", "finish"])
def test_wandb_failure_warns_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bad: str
):
    def fail(*_: Any, **__: Any) -> None:
        raise (SystemExit(1) if bad == "finish" else ConnectionResetError("Connection lost"))

    def init(**_: Any) -> Any:
        if bad == "init":
            fail()
        nothing = dict.fromkeys(("log", "define_metric", "finish"), lambda *_, **__: None)
        return SimpleNamespace(**{**nothing, **({"log": fail} if bad == "log_metrics" else {"finish": fail})})

    monkeypatch.setattr(wandb, "init", init)
    run = run_of_training(tmp_path, "offline")
    assert run is not None
    run.start({})
    for logger in run.logger():
        logger.log_metrics({"loss": 1.0}, 1)
        logger.log_metrics({"loss": 1.0}, 2)
    run.end()
    told = capsys.readouterr().err
    assert told.count("\n") == told.count("warning: Weights & Biases failed and is not used any more") == 1


def test_wandb_online_inputs_are_used_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from labelgen.training.wandb_run import RunAddress, data_artifact

    used: list[Any] = []
    config: dict[str, Any] = {}
    fake = SimpleNamespace(
        url="", config=SimpleNamespace(update=lambda values, **_: config.update(values)), use_artifact=used.append
    )
    monkeypatch.setattr(wandb, "init", lambda **_: fake)
    run = WandbRun(tmp_path, True, RunAddress("id", "project", "name"))
    run.start()
    run.use(data_artifact("training", "abc", {"dialogues": 3}))
    assert config == {"inputs/training-data": "abc"}
    assert [(one.name, one.type, one.metadata) for one in used] == [
        ("training-data", "dataset", {"sha256": "abc", "dialogues": 3})
    ]


TRAINING = """
import os, signal, sys
from pathlib import Path
from labelgen.cli.main import main
from labelgen.training.tracking import Recorder

def children(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from (task / "children").read_text().split()

started = Recorder.on_train_start

def on_train_start(self, *words):
    started(self, *words)
    for pid in children(os.getpid()):
        if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
            Path("killed").touch()

Recorder.on_train_start = on_train_start
sys.exit(main(sys.argv[1:]))
"""


def test_wandb_killed_process_does_not_stop_training(log: Path, tiny_encoder: Path, tmp_path: Path):
    """Nothing of it is left to complain when the process ends."""
    argv = ["finetune", *common(log, tiny_encoder, "a", "--tracking.wandb=offline", "--tracking.log_every=1")]
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, *argv], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed").exists()
    assert "Traceback" not in done.stderr
    assert done.stderr.count("warning: ") == done.stderr.count("Weights & Biases failed and is not used any more") == 1
    found = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert len([row for row in found if "loss" in row]) == found[-1]["step"]
