"""What an engine costs beside the labels: time that its processes compute until they are ready, and for each shard.

    python scripts/bench_engines.py --out results/engines.json

An annotator that says nothing labels a simulated log in shards of 64, with one worker in this process, with two local
processes, and with two on a Ray cluster that is started for it. Times are CPU seconds of this process and all that it
started (the machine may be busy with other things), medians of several runs with the least and the greatest; resident memory
is of all these processes together, pages that they share counted in each."""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors, write_table

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, Provenance
from labelgen.labeling.engines import Engine, local_engine
from labelgen.labeling.ray_engine import ray_engine
from labelgen.labeling.run import label

SHARD = 64


class Silent:
    """Nothing to say, at once."""

    name = "model"
    provenance = Provenance(model_digest="silent", version="0", threads=1)
    heard = 0
    unheard: Mapping[str, int] = {}

    def refuses(self, source: str | None) -> None:
        return None

    def unfamiliar(self, dialogues: Iterable[Dialogue]) -> tuple[Mapping[str, int], Mapping[str, int]]:
        return {}, {}

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        return [Annotation("model", "model") for _ in dialogues]


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__)
    args.add_argument("--dialogues", type=int, default=6400, help="of the log (default %(default)s)")
    args.add_argument("--runs", type=int, default=3, help="of each engine (default %(default)s)")
    given = parsed(args, argv)
    with tempfile.TemporaryDirectory() as scratch:
        table = measure(Path(scratch), given.dialogues, given.runs)
    write_table(given.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def measure(scratch: Path, dialogues: int, runs: int) -> dict[str, Any]:
    """The table of these engines; their runs alternate."""
    from labelgen.data.log import write_log
    from labelgen.simulator.log import simulate
    from labelgen.simulator.world import WorldOptions

    write_log(scratch / "in" / "a.jsonl", simulate(dialogues, 0, WorldOptions(annotated=0.0)))
    shards = -(-dialogues // SHARD)
    engines = {"in this process": ("local", 1), "local, 2 workers": ("local", 2), "ray, 2 workers": ("ray", 2)}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
    for run in range(runs):
        for name, (kind, workers) in engines.items():
            found[name].append(once(scratch / "in", scratch / f"{name} {run}", kind, workers))
    rows = [
        [name, *(told([run[k] * scale for run in own]) for k, scale in ((0, 1.0), (1, 1000 / shards), (2, 1.0)))]
        for name, own in found.items()
    ]
    return {
        "order": 37,
        "title": "What an engine costs beside the labels",
        "text": (
            "CPU time of all processes until every worker is ready, and for each shard of 64 dialogues that is read, written and "
            "joined with nothing to say of it; median (least to greatest). Resident memory counts shared pages once for each process."
        ),
        "command": f"python scripts/bench_engines.py --out results/engines.json --dialogues {dialogues} --runs {runs}",
        "versions": {name: version(name) for name in ("labelgen", "ray")},
        "data": f"A simulated log of {dialogues:,} dialogues in {shards} shards; {runs} runs of each engine.",
        "columns": ["engine", "start, CPU s", "a shard, CPU ms", "resident GB"],
        "rows": rows,
    }


def once(source: Path, out: Path, kind: str, workers: int) -> tuple[float, float, float]:
    """CPU seconds to start and to label, and gigabytes at the end."""
    chosen: AbstractContextManager[Engine] = (
        ray_engine(Silent, workers) if kind == "ray" else local_engine(Silent, workers)
    )
    began, _ = spent()
    with chosen as engine:
        engine.provenance()
        ready, _ = spent()
        label(source, out, engine, "model", {}, SHARD)
        ended, resident = spent()
    return ready - began, ended - ready, resident


def spent() -> tuple[float, float]:
    """CPU seconds and resident gigabytes of this process and all below it."""
    import psutil

    seconds = resident = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            times = process.cpu_times()
            seconds += times.user + times.system
            resident += process.memory_info().rss / 1e9
        except psutil.NoSuchProcess:
            continue
    return seconds, resident


def told(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    sys.exit(main())
