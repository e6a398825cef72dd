"""Weights & Biases beside the metrics: one run there for all sittings, named as its own variables say."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from whole_runs import common

from labelgen.training.options import TrackingOptions
from labelgen.training.tracking import MetricsFile, read_metrics, trackers
from labelgen.training.wandb_run import WeightsAndBiases

URL = "https://wandb.example/run"
VARIABLES = {"WANDB_PROJECT": "ours", "WANDB_NAME": "first", "WANDB_RUN_ID": "abc"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the library was asked for, in the place of asking it."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    found: list[dict[str, Any]] = []

    def init(**words: Any) -> Any:
        found.append(words)
        url = URL if words["mode"] == "online" else None
        return SimpleNamespace(url=url, finish=lambda **_: None, define_metric=lambda *_, **__: None)

    monkeypatch.setattr(wandb, "init", init)
    return found


def sitting(folder: Path, step: int, online: bool = True) -> None:
    tracker = WeightsAndBiases(folder, {}, online)
    tracker.start(step)
    tracker.end()


def test_wandb_sessions_share_run_id(tmp_path: Path, asked: list[dict[str, Any]]):
    for step in (0, 5, 9):
        sitting(tmp_path / "a", step)
    sitting(tmp_path / "b", 0)
    sitting(tmp_path / "a", 0)
    ids = [words["id"] for words in asked]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 3
    assert {words["resume"] for words in asked} == {"allow"}


def test_wandb_environment_variables_apply(
    tmp_path: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    sitting(tmp_path / "a", 0)
    assert (asked[0]["project"], asked[0]["name"]) == ("labelgen", "a")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    sitting(tmp_path / "a", 3)
    assert [asked[1][key] for key in ("project", "name", "id")] == list(VARIABLES.values())
    # What is given to the library would stand above its own variables.
    assert not {"entity", "group", "tags"} & set(asked[1])
    for name in VARIABLES:
        monkeypatch.delenv(name)
    sitting(tmp_path / "a", 4)
    assert asked[2]["id"] == "abc"


def test_wandb_online_prints_address(tmp_path: Path, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]):
    sitting(tmp_path, 0, online=False)
    assert capsys.readouterr().err == ""
    sitting(tmp_path, 0)
    assert URL in capsys.readouterr().err


def test_wandb_offline_writes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without network: two sittings, whose folders bear the id of one run, in the group that its variable says."""
    wandb.teardown()  # wandb reads its variables once in a process, and another test may have run before
    for name, value in {"WANDB_ENTITY": "us", "WANDB_RUN_GROUP": "seeds", "WANDB_TAGS": "old,new"}.items():
        monkeypatch.setenv(name, value)
    rows = [{"step": step, "loss": 1.0 / (1 + step), "gradient_norm": 2.0} for step in (1, 2)]
    for done, row in enumerate(rows):
        both = trackers(TrackingOptions(wandb="offline"), tmp_path, tmp_path / "metrics.jsonl", {"seed": 1})
        for tracker in both:
            tracker.start(done)
            tracker.add(row)
        run = wandb.run
        assert run is not None
        assert (run.entity, run.group, run.tags, run.project) == ("us", "seeds", ("old", "new"), "labelgen")
        for tracker in both:
            tracker.end()
    assert read_metrics(tmp_path / "metrics.jsonl") == rows
    own = json.loads((tmp_path / "wandb_run.json").read_text())["id"]
    kept = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {path.name for path in kept} == {f"run-{own}.wandb"}


class Broken:
    """Stands for the library's run, whose calls fail from `bad` on."""

    url = None

    def __init__(self, bad: str) -> None:
        self.bad = bad

    def define_metric(self, *_: Any, **__: Any) -> None: ...

    def log(self, *_: Any, **__: Any) -> None:
        if self.bad == "log":
            raise ConnectionResetError("Connection lost")

    def finish(self, **_: Any) -> None:
        raise SystemExit(1)


@pytest.mark.parametrize("bad", ["init", "log", "finish"])
def test_wandb_failure_warns_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bad: str
):
    def init(**_: Any) -> Broken:
        if bad == "init":
            raise wandb.errors.CommError("no account")
        return Broken(bad)

    monkeypatch.setattr(wandb, "init", init)
    both = trackers(TrackingOptions(wandb="offline"), tmp_path, tmp_path / "metrics.jsonl", {})
    rows = [{"step": step, "loss": 1.0} for step in (1, 2, 3)]
    for tracker in both:
        tracker.start(0)
        for row in rows:
            tracker.add(row)
        tracker.end()
    assert read_metrics(tmp_path / "metrics.jsonl") == rows
    told = capsys.readouterr().err
    assert told.count("\n") == told.count("warning: Weights & Biases failed and is not used any more") == 1


TRAINING = """
import os, signal, sys
from pathlib import Path
from labelgen.cli.main import main
from labelgen.training.tracking import Recorder

def children(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from (task / "children").read_text().split()

def kill_core():
    for pid in children(os.getpid()):
        if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
            Path("killed").touch()

started = Recorder.on_train_start

def on_train_start(self, *words):
    started(self, *words)
    kill_core()

if sys.argv.pop(1) == "kill":
    Recorder.on_train_start = on_train_start
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("how", ["kill", "file"])
def test_wandb_killed_process_does_not_stop_training(log: Path, tiny_encoder: Path, tmp_path: Path, how: str):
    """Nothing of it is left to complain when the process ends."""
    argv = ["finetune", *common(log, tiny_encoder, "a", "--tracking.wandb=offline", "--tracking.log_every=1")]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text('{"data_digest": ""}')
    if how == "file":
        (tmp_path / "a" / "wandb").write_text("in its way")
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, how, *argv], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed").exists() == (how == "kill")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("warning: ") == done.stderr.count("Weights & Biases failed and is not used any more") == 1
    found = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert len([row for row in found if "loss" in row]) == found[-1]["step"]


def test_wandb_off_writes_metrics_only(tmp_path: Path):
    (only,) = trackers(TrackingOptions(wandb="off"), tmp_path, tmp_path / "metrics.jsonl", {})
    assert isinstance(only, MetricsFile)
