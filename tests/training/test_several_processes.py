"""Two processes train one model: whichever is late, both come to the same end."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from whole_runs import common

from labelgen.data.record import Rejected
from labelgen.model.folder import check_model
from labelgen.training.run import run_quarantine
from labelgen.training.tracking import read_metrics

SCRIPT = """
import os, sys, time
from pathlib import Path
from labelgen.cli.main import main
from labelgen.training.module import TrainingModule

HERE = Path(sys.argv[0]).parent
FIRST = os.environ.get("LOCAL_RANK", "0") == "0"
how = os.environ["HOW"]

def late_commit(replaced):
    # The first process commits its last checkpoint only once the other has gone on without it, or clearly waits.
    def replace(old, new):
        if Path(new).parent.name == "checkpoints" and (HERE / "all steps").exists():
            until = time.monotonic() + 2.0
            while not (HERE / "went on").exists() and time.monotonic() < until:
                time.sleep(0.01)
        replaced(old, new)
    return replace

def last_step(step):
    def training_step(self, batch, batch_idx):
        if self.global_step == self.steps - 1:
            (HERE / "all steps").touch()
        return step(self, batch, batch_idx)
    return training_step

def terminated(step):
    def training_step(self, batch, batch_idx):
        if not FIRST and self.global_step == 1:
            import signal
            signal.raise_signal(signal.SIGTERM)
        return step(self, batch, batch_idx)
    return training_step

def full(written):
    def write(checkpoint, path):
        from labelgen.base.errors import StorageError
        raise StorageError("no room", str(path), "make some")
    return write

if how == "late":
    TrainingModule.training_step = last_step(TrainingModule.training_step)
    if FIRST:
        os.replace = late_commit(os.replace)
    else:
        from labelgen.training import fit as fitting
        made = fitting.audio_summary
        def summary(*words):
            (HERE / "went on").touch()
            return made(*words)
        fitting.audio_summary = summary
if how == "sigterm":
    TrainingModule.training_step = terminated(TrainingModule.training_step)
if how == "full":
    import labelgen.training.checkpoints as checkpoint
    checkpoint._write = full(checkpoint._write)
code = main(sys.argv[1:])
# Threads of a process group that is left when the interpreter ends may abort the process.
import torch
assert not torch.distributed.is_initialized(), "a process group is left"
sys.exit(code)
"""


def train(log: Path, encoder: Path, how: str) -> subprocess.CompletedProcess[str]:
    """On two processes; under its own time limit, as one that waits for another would never end."""
    script = log.parents[1] / "script.py"
    script.write_text(SCRIPT)
    more = ["--hardware.devices=2", "--hardware.strategy=ddp_find_unused_parameters_true", "--length.max_steps=3"]
    more.append("--tracking.checkpoint_every=1000")
    return subprocess.run(
        [sys.executable, script, "finetune", *common(log, encoder, "a", *more)],
        env={**os.environ, "HOW": how},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def out(log: Path) -> Path:
    return log.parents[1] / "a"


def test_processes_wait_for_checkpoint_commit(log: Path, tiny_encoder: Path, out: Path):
    done = train(log, tiny_encoder, "late")
    assert (done.returncode, "hint:" in done.stderr) == (0, False), done.stderr
    check_model(out / "model")
    assert read_metrics(out / "metrics.jsonl")[-1]["step"] == 3


def test_sigterm_to_one_process_ends_all(log: Path, tiny_encoder: Path, out: Path):
    done = train(log, tiny_encoder, "sigterm")
    assert done.returncode == 143, done.stderr
    assert done.stderr.count("a checkpoint is saved after step 2") == 1
    assert train(log, tiny_encoder, "").returncode == 0
    check_model(out / "model")


def test_checkpoint_error_ends_all_processes(log: Path, tiny_encoder: Path):
    done = train(log, tiny_encoder, "full")
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("no room") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_quarantine_is_written_by_first_process_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int):
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero_only.rank", rank, raising=False)
    with closing(run_quarantine(tmp_path)) as quarantine:
        quarantine.add(Rejected(file="a.jsonl", reason="bad_json"))
        assert quarantine.reasons == {"bad_json": 1}
    assert (tmp_path / "quarantine.jsonl").exists() == (rank == 0)
