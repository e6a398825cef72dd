"""Run a sweep of Weights & Biases on this machine, without its service: draws the runs, trains them one after another, and names the best.

python scripts/sweep.py sweeps/finetune.yaml --out runs/sweep [--runs 4] [--seed 0]

Methods `grid` and `random` (scikit-learn's ParameterGrid and ParameterSampler) over parameters with `value`, `values`, or `min` and `max`.
The same command goes on where it was interrupted. Each run is an offline run of Weights & Biases, in one group."""

import argparse
import csv
import io
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from scipy import stats
from sklearn.model_selection import ParameterGrid, ParameterSampler

from labelgen.base.errors import LabelgenError, UsageError, integrity_errors
from labelgen.base.files import write_text
from labelgen.base.terminal import print_lines
from labelgen.training.run import CONFIG, METRICS
from labelgen.training.tracking import read_metrics

_RUNS = 10
_STDERR = 2
"""Trainings print their summaries there, so that standard output is the table alone."""
_HINT = "see the YAML reference of sweeps in the documentation of Weights & Biases"


@dataclass(frozen=True)
class Sweep:
    """A sweep: parameters are numbers or texts to choose from, or a distribution."""

    name: str
    method: str
    parameters: Mapping[str, Any]
    metric: str
    maximize: bool
    command: Sequence[str]
    runs: int | None


@dataclass(frozen=True)
class SweptRun:
    """A finished run. metric: its best value; NaN if the run failed or never measured it."""

    id: str
    parameters: Mapping[str, Any]
    metric: float


def read_sweep(path: Path) -> Sweep:
    """Raises UsageError for what this script does not know."""
    with integrity_errors("the sweep cannot be read", path, _HINT):
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        method, command, metric = read["method"], [*map(str, read["command"])], read["metric"]
        parameters = {name: _values(name, asked) for name, asked in read["parameters"].items()}
        maximize = metric.get("goal", "minimize") == "maximize"
        sweep = Sweep(
            read.get("name", path.stem), method, parameters, metric["name"], maximize, command, read.get("run_cap")
        )
    if method not in ("grid", "random"):
        raise UsageError(f"no method {method!r} without the service", f"{path}: method", "give grid or random")
    if method == "grid" and not all(isinstance(values, list) for values in parameters.values()):
        raise UsageError("a grid needs values", f"{path}: parameters", "list the values, or give method: random")
    return sweep


def _values(name: str, asked: Mapping[str, Any]) -> Any:
    if "value" in asked:
        return [asked["value"]]
    if "values" in asked:
        return list(asked["values"])
    low, high = asked["min"], asked["max"]
    whole = isinstance(low, int) and isinstance(high, int)
    match asked.get("distribution", "int_uniform" if whole else "uniform"):
        case "int_uniform":
            return stats.randint(low, high + 1)
        case "uniform":
            return stats.uniform(low, high - low)
        case "log_uniform_values":
            return stats.loguniform(low, high)
        case other:
            raise UsageError(f"the distribution {other!r} needs the service", f"parameters: {name}", _HINT)


def configs(sweep: Sweep, runs: int | None, seed: int) -> Iterator[dict[str, Any]]:
    """Parameters of each run. Without a number of runs a grid has all of its points."""
    count = runs or sweep.runs
    if sweep.method == "grid":
        points = list(ParameterGrid(dict(sweep.parameters)))
        yield from points[:count]
        return
    sizes = [len(values) if isinstance(values, list) else math.inf for values in sweep.parameters.values()]
    for point in ParameterSampler(
        dict(sweep.parameters), int(min(count or _RUNS, math.prod(sizes))), random_state=seed
    ):
        # NumPy's numbers are not written as YAML reads them.
        yield {name: value.item() if hasattr(value, "item") else value for name, value in sorted(point.items())}


def words(command: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """The command of a run, with the macros of Weights & Biases expanded."""
    expanded: list[str] = []
    for word in command:
        if word == "${args}":
            expanded += [f"--{name}={value}" for name, value in parameters.items()]
        elif word == "${env}":
            expanded.append("/usr/bin/env")
        else:
            expanded.append(word)
    return expanded


def run(sweep: Sweep, parameters: Mapping[str, Any], identity: str, out: Path) -> SweptRun:
    """Train, and read the best value of the metric."""
    offline = {"WANDB_RUN_ID": identity, "WANDB_NAME": identity, "WANDB_RUN_GROUP": sweep.name}
    environment = {**os.environ, **offline, "SWEEP_OUT": str(out), "SWEEP_WANDB": "offline"}
    command = words(sweep.command, parameters)
    print_lines(f"{identity}: {_shown(parameters)}", file=sys.stderr)
    failed = subprocess.run(command, env=environment, stdout=_STDERR, check=False).returncode != 0
    rows = [] if failed else read_metrics(out / identity / METRICS)
    values = [float(row[sweep.metric]) for row in rows if row.get(sweep.metric) is not None]
    return SweptRun(identity, parameters, (max if sweep.maximize else min)(values, default=math.nan))


def _shown(parameters: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in parameters.items()
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sweep", type=Path, help="YAML file of the sweep")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--runs", type=int, help="number of runs; by default the sweep's run_cap")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random search")
    asked = parser.parse_args(argv)
    sweep = read_sweep(asked.sweep)
    points = list(configs(sweep, asked.runs, asked.seed))
    runs = [
        run(sweep, point, f"{sweep.name}-{asked.seed}-{number}", asked.out) for number, point in enumerate(points, 1)
    ]
    runs.sort(key=lambda one: (math.isnan(one.metric), -one.metric if sweep.maximize else one.metric))
    for one in runs:
        print_lines(f"{sweep.metric} {one.metric:.4f}  {one.id}  {_shown(one.parameters)}")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["run", sweep.metric, *sweep.parameters])
    writer.writerows([one.id, one.metric, *(one.parameters[name] for name in sweep.parameters)] for one in runs)
    write_text(asked.out / "sweep.csv", table.getvalue())
    if not runs or math.isnan(runs[0].metric):
        print_lines(f"no run measured {sweep.metric}", file=sys.stderr)
        return 1
    print_lines(f"chosen: labelgen finetune --config {asked.out / runs[0].id / CONFIG} --out FOLDER")
    return 1 if any(math.isnan(one.metric) for one in runs) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabelgenError as error:
        print_lines(str(error), file=sys.stderr)
        sys.exit(error.exit_code)
