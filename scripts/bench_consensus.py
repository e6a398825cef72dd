"""What a consensus costs in time and memory by the number of answers, three annotators each.

    python scripts/bench_consensus.py --items 10000 1000000 --out results/consensus_growth.json

Each log is drawn: dialogues of ten turns whose quality three of five annotators rate, each right as often as they are worth.
`labelgen consensus` reads and writes it in a process of its own; memory is that process's peak."""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors, write_table

from labelgen.cli.main import main as labelgen
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.log import write_log

TURNS = 10
NAMES = ("bad", "fair", "good")
WORTH = {"ann": 0.95, "ben": 0.9, "cal": 0.8, "dot": 0.7, "eve": 0.5}
METHODS = ("majority", "dawid-skene")


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    to = arguments(__doc__)
    to.add_argument(
        "--items", type=int, nargs="+", default=[10_000, 1_000_000], help="rated turns (default %(default)s)"
    )
    to.add_argument("--one", nargs=3, metavar=("METHOD", "LOG", "OUT"), help=argparse.SUPPRESS)
    args = parsed(to, argv)
    if args.one:
        return one(*args.one)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for items in args.items for row in measured(Path(folder), items)]
    table = told(rows, args)
    write_table(args.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def one(method: str, log: str, out: str) -> int:
    """One consensus; prints its CPU seconds and peak of memory after what the command itself prints."""
    began = time.process_time()
    code = labelgen(["consensus", log, out, "--method", method])
    spent_s = time.process_time() - began
    print(json.dumps([round(spent_s, 1), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)]))
    return code


def measured(folder: Path, items: int) -> Iterator[list[Any]]:
    """A row for each method."""
    log = folder / f"{items}.jsonl"
    write_log(log, drawn(items))
    for method in METHODS:
        out = folder / f"{items}-{method}.jsonl"
        own = [sys.executable, __file__, "--one", method, str(log), str(out)]
        said = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True).stdout
        out.unlink()
        yield [method, f"{items:,}", *json.loads(said.splitlines()[-1])]
    log.unlink()


def drawn(items: int) -> Iterator[Dialogue]:
    """Dialogues of `TURNS` turns, `items` of them rated in all."""
    rng = random.Random(0)
    for number in range(items // TURNS):
        truth = [rng.choice(NAMES) for _ in range(TURNS)]
        yield Dialogue(
            id=f"d{number}",
            turns=tuple(Turn(request=f"request {t}", response=f"response {t}") for t in range(TURNS)),
            annotations=tuple(
                Annotation(
                    who,
                    "person",
                    tuple(
                        Label("quality", AtTurn(t), name if rng.random() < WORTH[who] else rng.choice(NAMES))
                        for t, name in enumerate(truth)
                    ),
                )
                for who in sorted(rng.sample(sorted(WORTH), 3))
            ),
        )


def told(rows: Sequence[Sequence[Any]], args: argparse.Namespace) -> dict[str, Any]:
    """The table."""
    return {
        "order": 36,
        "title": "Consensus of three annotators by the number of items",
        "text": "Drawn logs of ten rated turns a dialogue, read and written by one process: CPU seconds, and the process's peak of memory.",
        "command": " ".join(
            ["python scripts/bench_consensus.py --items", *map(str, args.items)]
            + ([f"--out {args.out}"] if args.out else [])
        ),
        "versions": {"labelgen": version("labelgen")},
        "columns": ["method", "items", "CPU seconds", "peak memory, MB"],
        "rows": [list(row) for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
