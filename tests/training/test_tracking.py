"""Metrics of a run: TensorBoard and Lightning's loggers get the rows of metrics.jsonl, and Weights & Biases may fail."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from whole_runs import BrokenOffError, break_off_at, common

from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune
from labelgen.training.tracking import read_metrics

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


TRAINING = """
import os, signal, sys, time
from pathlib import Path
from labelgen.cli.main import main
from labelgen.training.tracking import Recorder

def children(pid):
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from listed.read_text().split()
        except OSError:  # The thread has ended.
            continue

started = Recorder.on_train_start

def on_train_start(self, *words):
    started(self, *words)
    # A thread that ends while its children are listed hides them.
    for _ in range(100):
        for pid in children(os.getpid()):
            if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
                Path("killed").touch()
                return
        time.sleep(0.1)

Recorder.on_train_start = on_train_start
sys.exit(main(sys.argv[1:]))
"""


def test_wandb_killed_process_does_not_stop_training(log: Path, tiny_encoder: Path, tmp_path: Path):
    """Nothing of it is left to complain when the process ends."""
    argv = ["finetune", *common(log, tiny_encoder, "a", "--tracking.wandb=offline", "--tracking.log_every=1")]
    # Without the service that a test in this process may have begun, so that it begins its own.
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-c", TRAINING, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=own)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed").exists()
    assert "Traceback" not in done.stderr
    assert done.stderr.count("warning: ") == done.stderr.count("Weights & Biases failed and is not used any more") == 1
    found = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert len([row for row in found if "loss" in row]) == found[-1]["step"]
