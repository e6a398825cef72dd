"""Launchers: torchrun and SLURM start the same training as `labelgen` alone, and SLURM's job is queued again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import common

from labelgen.model.folder import check_model
from labelgen.training.tracking import read_metrics

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [SCRIPTS / script, *words],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(shutil.which("shellcheck", path=str(Path(sys.executable).parent)) is None, reason="no shellcheck")
def test_scripts_pass_shellcheck():
    checker = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run(
        [checker, "-x", "-P", "SCRIPTDIR", *sorted(SCRIPTS.glob("*.sh"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_torchrun_trains_on_two_processes_and_writes_into_the_run_alone(
    log: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = [word for word in common(log, tiny_encoder, "a", "--length.steps=2") if "devices" not in word]
    done = run("train_by_torchrun.sh", "finetune", *words, PROCESSES="2")
    assert done.returncode == 0, done.stderr
    out = log.parents[1] / "a"
    check_model(out / "model")
    assert read_metrics(out / "metrics.jsonl")[-1]["step"] == 2
    assert done.stdout.count("model: ") == 1
    assert not [*Path.cwd().iterdir()]


@pytest.mark.parametrize(("code", "requeued"), [(143, True), (7, False)])
def test_slurm_job_is_queued_again_after_a_warning_alone(tmp_path: Path, code: int, requeued: bool):
    """With a pretended srun, which ends with this code."""
    for name, text in (("srun", f'echo srun "$@" >> calls; exit {code}'), ("scontrol", 'echo scontrol "$@" >> calls')):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\ncd '{tmp_path}'\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [SCRIPTS / "train_on_slurm.sh", "finetune", "--out", "runs/a"],
        env={**os.environ, "PATH": path, "SLURM_JOB_ID": "5", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NUM_NODES": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "--hardware.devices 4 --hardware.nodes 2 --out runs/a" in calls[0]
    assert calls[1:] == (["scontrol requeue 5"] if requeued else [])
