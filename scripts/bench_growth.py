"""Whether labeling costs the same for each turn however long the log is: turns a second of CPU and peak memory, by length.

    python scripts/bench_growth.py --turns 10000 100000 --out results/growth.json
    python scripts/bench_growth.py --turns 50000 500000 --layers 2 --out results/growth_long.json

Each length is a simulated log of its own, read, labeled and written by one process that is started anew, on one thread. The
model is new, with the offline encoder's width, so many of its layers, and heads for goals, outcome and quality: untrained
heads take as long as trained ones. Memory is the process's peak, model and libraries with it."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import torch
from command import arguments, parsed, tells_errors, write_table

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import write_log
from labelgen.features.pretrained import load_encoder, write_offline_encoder
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.simulator.log import simulate
from labelgen.tasks.options import TaskOptions

AT_ONCE = 1_000
"""Dialogues simulated at a time."""


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, nargs="+", default=[10_000, 100_000], help="of each log, about")
    parser.add_argument("--layers", type=int, default=6, help="of the encoder (default %(default)s)")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32", help="default %(default)s")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parsed(parser, argv)
    if args.one:
        print(json.dumps(labeled(args.one, args.turns[0], args.precision)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), args.layers)
        found = [apart(Path(folder), turns, args.precision) for turns in sorted(args.turns)]
    table = told(found, args)
    write_table(args.out, table)
    print(json.dumps(table, indent=1))
    return 0


def apart(folder: Path, turns: int, precision: str) -> dict[str, float]:
    """What `labeled` gives in a process of its own."""
    own = [sys.executable, __file__, "--one", str(folder), "--turns", str(turns), "--precision", precision]
    found: dict[str, float] = json.loads(subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def told(found: Sequence[dict[str, float]], args: argparse.Namespace) -> dict[str, Any]:
    """The table; rate and memory beside those of the shortest log."""
    words = ["python scripts/bench_growth.py --turns", *map(str, args.turns)]
    words += [f"--layers {args.layers}"] if args.layers != 6 else []
    words += [f"--precision {args.precision}"] if args.precision != "32" else []
    words += [f"--out {args.out}"] if args.out else []
    first = found[0]
    return {
        "order": 34,
        "title": f"Rate and memory by the length of the log, encoder of {args.layers} layers",
        "text": "A simulated log is read, labeled and written by one process on one thread; turns a second of CPU, and the "
        "process's peak of memory with model and libraries, also as multiples of the shortest log's.",
        "command": " ".join(words),
        "versions": {name: version(name) for name in ("labelgen", "torch")},
        "columns": ["turns", "turns a CPU second", "peak memory, MB", "rate, times", "memory, times"],
        "rows": [
            [
                f"{one['turns']:,}",
                one["turns_a_cpu_s"],
                one["peak_mb"],
                round(one["turns_a_cpu_s"] / first["turns_a_cpu_s"], 3),
                round(one["peak_mb"] / first["peak_mb"], 3),
            ]
            for one in found
        ],
    }


def made(folder: Path, layers: int) -> None:
    """The model that all logs are labeled by."""
    encoder = folder / "encoder"
    write_offline_encoder(encoder)
    whole: Any = load_encoder(str(encoder))
    whole.encoder.layer = whole.encoder.layer[:layers]
    whole.config.num_hidden_layers = layers
    whole.save_pretrained(encoder)
    tasks = {name: TaskOptions() for name in ("goals", "outcome", "quality")}
    save_model(
        build_model(ModelOptions(encoder=str(encoder)), tasks, {}, list(simulate(200, seed=1))), folder / "model", {}
    )


def labeled(folder: Path, turns: int, precision: str) -> dict[str, float]:
    """Turns of the log, turns a second of CPU, and the peak of memory in MB."""
    torch.set_num_threads(1)
    source, out = folder / f"log-{turns}.jsonl", folder / f"labeled-{turns}"
    write_log(source, simulated(turns))
    annotator = Annotator(folder / "model", precision=precision)
    began = time.process_time()
    sums = label(source, out, InlineEngine(lambda: annotator), annotator.name, {})
    spent_s = time.process_time() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"turns": sums.turns, "turns_a_cpu_s": round(sums.turns / spent_s, 1), "peak_mb": round(peak_mb)}


def simulated(turns: int) -> Iterator[Dialogue]:
    seen = 0
    for seed in count():
        # A seed stands in each dialogue's id, so none comes twice.
        for dialogue in simulate(AT_ONCE, seed):
            if seen >= turns:
                return
            seen += len(dialogue.turns)
            yield dialogue


if __name__ == "__main__":
    sys.exit(main())
