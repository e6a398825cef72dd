"""What kills and corrupt input do to a labeled log, and what an engine costs beyond the labels.

A simulated log of two files (JSON Lines, plain and packed) is labeled by a stand-in for a model. Runs are killed with SIGKILL at seeded
random points, five times in a row into the same folder, then finished; the result is compared with that of an uninterrupted run. Then
1% of the records are damaged, and the shards are cut differently and done by more workers. Engines: CPU seconds of this process and its
children, medians of several runs; resident memory is of all of them, shared pages counted in each.
"""

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn, Label, Provenance
from labelgen.data.log import Log, write_log
from labelgen.labeling.engines import Engine, local_engine
from labelgen.labeling.ray_engine import ray_engine
from labelgen.labeling.run import label

from .results import Cell, Result, ranged, versions

IN_A_ROW = 5
SHARD = 32
DIALOGUE_S = 0.002
"""What the stand-in waits for at each dialogue, so that a kill meets work at every stage."""


class StandIn:
    """An annotator whose labels are a hash of the request."""

    name = "model"
    provenance = Provenance(model_digest="stand-in", version="0", threads=1)
    audio_turns = 0
    audio_errors: Mapping[str, int] = {}

    def refuses(self, source: str | None) -> None:
        return None

    def out_of_vocabulary(self, dialogues: Iterable[Dialogue]) -> tuple[Mapping[str, int], Mapping[str, int]]:
        return {}, {}

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        return [self._annotation(dialogue) for dialogue in dialogues]

    def _annotation(self, dialogue: Dialogue) -> Annotation:
        time.sleep(DIALOGUE_S)
        chances = [sha256(turn.request.encode()).digest()[0] / 255 for turn in dialogue.turns]
        return Annotation(
            "model", "model", tuple(Label("intents", AtTurn(t), "Play", p) for t, p in enumerate(chances))
        )


def work(source: Path, out: Path, name: str, workers: int = 2, shard: int = SHARD) -> None:
    chosen: AbstractContextManager[Engine] = (
        ray_engine(StandIn, workers) if name == "ray" else local_engine(StandIn, workers)
    )
    with chosen as engine:
        label(source, out, engine, "model", {}, shard)


def measure(kills: int, ray: int, dialogues: int, seed: int = 0) -> list[Result]:
    """The rows of kills, of other shards and workers, and of corrupt input. ray: kills on a Ray cluster; 0: without Ray."""
    # Workers read this file too, and have no need of the simulator.
    from labelgen.simulator.log import simulate
    from labelgen.simulator.world import WorldOptions

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        source = scratch / "in"
        log = list(simulate(dialogues, seed, WorldOptions(annotated=0.0)))
        write_log(source / "a.jsonl", log[: dialogues // 2])
        write_log(source / "b.jsonl.gz", log[dialogues // 2 :])
        work(source, scratch / "unbroken", "local")
        expected = tree(scratch / "unbroken")
        outcomes = [killed(scratch, source, expected, "local", kills, seed)]
        if ray:
            outcomes.append(killed(scratch, source, expected, "ray", ray, seed))
        outcomes += [divided(scratch, source, expected, w, shard) for w, shard in ((1, SHARD), (4, SHARD), (4, 7))]
        outcomes.append(corrupted(scratch, log, seed))
    names = ("dialogues_lost", "dialogues_doubled", "files_left_over", "share_byte_identical")
    return [
        _row("labelgen label", metric, {"value": value}, setting=what, n=times, versions=versions("pyarrow"))
        for what, times, *values in outcomes
        for metric, value in zip(names, values, strict=True)
        if value is not None
    ]


def _row(system: str, metric: str, cell: Cell, **fields: Any) -> Result:
    return Result(corpus="simulated", system=system, metric=metric, **cell, **fields)


def killed(scratch: Path, source: Path, expected: Mapping[str, bytes], engine: str, kills: int, seed: int) -> list[Any]:
    """Kill so often, finish after every few, compare."""
    rng = random.Random(f"{seed} {engine}")
    started = time.monotonic()
    assert attempt(source, scratch / f"{engine} whole", engine, None), "the unbroken run failed"
    whole_s = time.monotonic() - started
    done, counts, runs = 0, Counter[str](), 0
    while done < kills:
        out = scratch / f"{engine} {runs}"
        runs += 1
        for _ in range(min(IN_A_ROW, kills - done)):
            if attempt(source, out, engine, rng.random() * whole_s):
                break  # it was through before it could be killed
            done += 1
        assert attempt(source, out, "local", None), Path(f"{out}.log").read_text()
        counts += compared(out, source, expected)
        counts["folders"] += 1
    equal = counts["equal"] / counts["folders"]
    return [f"kill -9, {engine}", done, counts["lost"], counts["doubled"], counts["left over"], equal]


def attempt(source: Path, out: Path, engine: str, kill_after_s: float | None) -> bool:
    """Run in a process group of its own; whether it came to its end."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        # Workers and Ray would else write into this script's output.
        os.dup2(os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        try:
            work(source, out, engine)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    with suppress(OSError):
        os.setpgid(child, child)  # here too: the kill may come before the child has begun
    until = None if kill_after_s is None else time.monotonic() + kill_after_s
    while True:
        ended, status = os.waitpid(child, os.WNOHANG if until is not None else 0)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        if until is not None and time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            _await_end(child)
            return False
        time.sleep(0.005)


def _await_end(group: int) -> None:
    """Wait until no process of the group is left: what was killed may take a moment to go."""
    for _ in range(2000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)


def divided(scratch: Path, source: Path, expected: Mapping[str, bytes], workers: int, shard: int) -> list[Any]:
    out = scratch / f"{workers} {shard}"
    work(source, out, "local", workers, shard)
    same = {name for name, data in tree(out).items() if data == expected.get(name)}
    missing = set(expected) - same - ({"manifest.json"} if shard != SHARD else set())
    counts = compared(out, source, expected)
    what = f"{workers} workers, shards of {shard}"
    return [what, 1, counts["lost"], counts["doubled"], counts["left over"], float(not missing)]


def compared(out: Path, source: Path, expected: Mapping[str, bytes]) -> Counter[str]:
    from labelgen.labeling.verify import verify

    files = tree(out)
    before = Counter(dialogue.id for dialogue in Log([source]))
    there = Counter(dialogue.id for name in ("a.jsonl", "b.jsonl.gz") for dialogue in Log([out / name]))
    return Counter(
        {
            "lost": (before - there).total(),
            "doubled": (there - before).total(),
            "left over": len(set(files) - set(expected)),
            "equal": int(files == expected and not list(verify(out, source))),
        }
    )


def corrupted(scratch: Path, log: Sequence[Dialogue], seed: int) -> list[Any]:
    """Lines of one file cut, of bad UTF-8, or doubled: 1 in 100."""
    from labelgen.data.record import encode
    from labelgen.labeling.verify import verify

    rng = random.Random(seed)
    lines = [encode(dialogue) for dialogue in log]
    bad = sorted(rng.sample(range(1, len(lines)), k=len(lines) // 100))
    for k in bad:
        damage = rng.choice(("cut", "utf8", "doubled"))
        if damage == "cut":
            lines[k] = lines[k][: rng.randrange(1, len(lines[k]) - 1)]
        elif damage == "utf8":
            lines[k] = lines[k].replace(b'"request":"', b'"request":"\xff', 1)
        else:
            lines[k] = lines[k - 1] if k - 1 not in bad and k % 4096 else b"{"
    source, out = scratch / "bad", scratch / "bad out"
    source.mkdir()
    (source / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    work(source, out, "local", 2, 4096)
    faults = list(verify(out, source))
    there = Counter(dialogue.id for dialogue in Log([out / "a.jsonl"]))
    wanted = Counter(dialogue.id for k, dialogue in enumerate(log) if k not in bad)
    quarantine = (out / "a.jsonl.quarantine.jsonl").read_bytes().count(b"\n")
    lost = (wanted - there).total() + abs(len(bad) - quarantine)
    left_over = len(set(tree(out)) - {"a.jsonl", "a.jsonl.quarantine.jsonl", "manifest.json"})
    doubled = (there - wanted).total() + len(faults)
    return ["1% corrupt records", len(bad), lost, doubled, left_over, None]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its relative path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class SilentAnnotator(StandIn):
    """An annotator without any label, at once."""

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        return [Annotation("model", "model") for _ in dialogues]


def engines(dialogues: int, runs: int) -> list[Result]:
    """The rows of each engine; their runs alternate."""
    from labelgen.simulator.log import simulate
    from labelgen.simulator.world import WorldOptions

    kinds = {"in this process": ("local", 1), "local, 2 workers": ("local", 2), "ray, 2 workers": ("ray", 2)}
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = Path(folder) / "in"
        write_log(source / "a.jsonl", simulate(dialogues, 0, WorldOptions(annotated=0.0)))
        for run in range(runs):
            for name, (kind, workers) in kinds.items():
                times[name].append(_overhead(source, Path(folder) / f"{name} {run}", kind, workers))
    shards = -(-dialogues // 64)
    scales = {"start_cpu_seconds": 1.0, "cpu_ms_per_shard": 1000 / shards, "resident_gb": 1.0}
    return [
        _row(name, metric, ranged([run[k] * scale for run in measured], 1), versions=versions("ray"))
        for name, measured in times.items()
        for k, (metric, scale) in enumerate(scales.items())
    ]


def _overhead(source: Path, out: Path, kind: str, workers: int) -> tuple[float, float, float]:
    """CPU seconds to start and to label, and gigabytes at the end."""
    began, _ = _spent()
    chosen: AbstractContextManager[Engine] = (
        ray_engine(SilentAnnotator, workers) if kind == "ray" else local_engine(SilentAnnotator, workers)
    )
    with chosen as engine:
        engine.provenance()
        ready, _ = _spent()
        label(source, out, engine, "model", {}, 64)
        ended, resident = _spent()
    return ready - began, ended - ready, resident


def _spent() -> tuple[float, float]:
    """CPU seconds and resident gigabytes of this process and all below it."""
    import psutil

    seconds = resident = 0.0
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system
            resident += process.memory_info().rss / 1e9
    return seconds, resident
