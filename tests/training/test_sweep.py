"""The shipped sweep, and sweeps on this machine without the service of Weights & Biases."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from labelgen.base.errors import UsageError
from labelgen.base.options import read_options
from labelgen.training.options import FinetuneOptions
from scripts.sweep import configs, main, read_sweep, words

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "sweeps" / "finetune.yaml"


def test_shipped_sweep_draws_the_same_runs_for_a_seed():
    sweep = read_sweep(SHIPPED)
    drawn = [list(configs(sweep, None, seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len(drawn[0]) == 4
    for point in drawn[0]:
        assert 0.0001 <= point["optimizer.learning_rate"] <= 0.003
        assert point["length.max_epochs"] in (2, 4, 8)


def test_shipped_sweep_names_options_of_the_command(tmp_path: Path):
    """The words that its command gives to labelgen are those of a training."""
    sweep = read_sweep(SHIPPED)
    command = words(sweep.command, next(configs(sweep, 1, 0)))
    stub = tmp_path / "labelgen"
    stub.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n')
    stub.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WANDB_RUN_ID": "abc", "SWEEP_OUT": "runs"}
    given = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.split("\n")
    assert given[0] == "finetune"
    options = read_options(FinetuneOptions, given[1:-1])
    assert (options.out, options.tracking.wandb, options.data.train) == ("runs/abc", "online", ("parts/train.jsonl",))
    assert options.length.max_epochs in (2, 4, 8)


def test_grid_has_every_point_once(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    grid = {"a": {"values": [1, 2]}, "b": {"value": "x"}, "c": {"values": [True, False]}}
    path.write_text(yaml.safe_dump({"method": "grid", "metric": {"name": "m"}, "parameters": grid, "command": ["x"]}))
    points = list(configs(read_sweep(path), None, 0))
    assert len(points) == 4
    assert {(point["a"], point["b"], point["c"]) for point in points} == {
        (a, "x", c) for a in (1, 2) for c in (True, False)
    }


@pytest.mark.parametrize(
    ("method", "asked"), [("bayes", {"values": [1]}), ("grid", {"min": 0, "max": 1}), ("random", {"mu": 0, "sigma": 1})]
)
def test_sweep_that_needs_the_service_is_refused(tmp_path: Path, method: str, asked: dict[str, object]):
    if "mu" in asked:
        asked = {**asked, "min": 0, "max": 1, "distribution": "normal"}
    path = tmp_path / "sweep.yaml"
    read = {"method": method, "metric": {"name": "m"}, "parameters": {"a": asked}, "command": ["x"]}
    path.write_text(yaml.safe_dump(read))
    with pytest.raises(UsageError):
        read_sweep(path)


TRAINING = """
import json, os, sys
from pathlib import Path

options = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])
rate, run = float(options["optimizer.learning_rate"]), Path(os.environ["SWEEP_OUT"], os.environ["WANDB_RUN_ID"])
if rate > 1.0:
    sys.exit(7)
run.mkdir(parents=True, exist_ok=True)
variables = [os.environ[name] for name in ("WANDB_RUN_GROUP", "WANDB_NAME", "SWEEP_WANDB")]
(run / "variables.json").write_text(json.dumps(variables))
losses = [abs(rate - 0.1) + 1.0, abs(rate - 0.1), 5.0]
(run / "metrics.jsonl").write_text("".join(json.dumps({"step": k, "valid_loss": loss}) + chr(10) for k, loss in enumerate(losses)))
"""
"""Stands for a training whose best loss is at a learning rate of 0.1, and which diverges above 1."""


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("rates", [[0.5, 0.1, 0.9], [0.5, 2.0, 0.2]])
def test_local_sweep_names_the_best_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], goal: str, rates: list[float]
):
    (tmp_path / "training.py").write_text(TRAINING)
    asked = {
        "name": "rates",
        "method": "grid",
        "metric": {"name": "valid_loss", "goal": goal},
        "parameters": {"optimizer.learning_rate": {"values": rates}},
        "command": [sys.executable, str(tmp_path / "training.py"), "${args}"],
    }
    sweep, out = tmp_path / "sweep.yaml", tmp_path / "runs"
    sweep.write_text(yaml.safe_dump(asked))
    failed = [rate for rate in rates if rate > 1.0]
    assert main([str(sweep), "--out", str(out)]) == (1 if failed else 0)
    table = list(csv.DictReader((out / "sweep.csv").read_text().splitlines()))
    found = {float(row["optimizer.learning_rate"]): float(row["valid_loss"]) for row in table}
    assert [rate for rate, loss in found.items() if math.isnan(loss)] == failed
    best = float(table[0]["optimizer.learning_rate"])
    if goal == "minimize":
        assert best == min((rate for rate in rates if rate <= 1.0), key=lambda rate: abs(rate - 0.1))
    assert f"labelgen finetune --config {out / table[0]['run'] / 'config.yaml'}" in capsys.readouterr().out
    ids = {f"rates-0-{number}" for number in range(1, 4)}
    assert {row["run"] for row in table} == ids
    for path in out.glob("rates-*"):
        assert json.loads((path / "variables.json").read_text()) == ["rates", path.name, "offline"]
