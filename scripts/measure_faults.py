"""What kills of the whole process group and corrupt input cost a labeled log: lost, doubled, left over, other bytes.

    python scripts/measure_faults.py --out results/faults.json

A simulated log of two files (JSON Lines, plain and packed) is labeled by a stand-in for a model, quick and the same bits
everywhere, with two worker processes. Runs are killed with SIGKILL at seeded random points of the time that an unbroken run
takes, five kills one after the other into the same folder, and then finished; what is there is compared with what an unbroken
run writes. With --ray N kills a run on a Ray cluster of its own is treated alike. Then 1% of the records of the log are
damaged, and the shards are cut otherwise and done by more workers."""

import json
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors, write_table

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn, Label, Provenance
from labelgen.data.log import Log, write_log
from labelgen.labeling.engines import Engine, local_engine
from labelgen.labeling.ray_engine import ray_engine
from labelgen.labeling.run import label

IN_A_ROW = 5
SHARD = 32
DIALOGUE_S = 0.002
"""What the stand-in waits for at each dialogue, so that a kill meets work at every stage."""


class StandIn:
    """An annotator whose labels are a hash of the request."""

    name = "model"
    provenance = Provenance(model_digest="stand-in", version="0", threads=1)
    heard = 0
    unheard: Mapping[str, int] = {}

    def refuses(self, source: str | None) -> None:
        return None

    def unfamiliar(self, dialogues: Iterable[Dialogue]) -> tuple[Mapping[str, int], Mapping[str, int]]:
        return {}, {}

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        return [self._annotation(dialogue) for dialogue in dialogues]

    def _annotation(self, dialogue: Dialogue) -> Annotation:
        time.sleep(DIALOGUE_S)
        chances = [sha256(turn.request.encode()).digest()[0] / 255 for turn in dialogue.turns]
        return Annotation(
            "model", "model", tuple(Label("intents", AtTurn(t), "Play", p) for t, p in enumerate(chances))
        )


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__)
    args.add_argument("--kills", type=int, default=50, help="of local runs (default %(default)s)")
    args.add_argument("--ray", type=int, default=5, help="kills of runs on Ray, 0 without it (default %(default)s)")
    args.add_argument("--dialogues", type=int, default=1200, help="of the log (default %(default)s)")
    args.add_argument("--seed", type=int, default=0)
    given = parsed(args, argv)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        table = measure(Path(scratch), given.kills, given.ray, given.dialogues, given.seed)
    write_table(given.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def work(source: Path, out: Path, name: str, workers: int = 2, shard: int = SHARD) -> None:
    chosen: AbstractContextManager[Engine] = (
        ray_engine(StandIn, workers) if name == "ray" else local_engine(StandIn, workers)
    )
    with chosen as engine:
        label(source, out, engine, "model", {}, shard)


def measure(scratch: Path, kills: int, ray: int, dialogues: int, seed: int) -> dict[str, Any]:
    """The table of these faults."""
    # Workers read this file too, and have no need of the simulator.
    from labelgen.simulator.log import simulate
    from labelgen.simulator.world import WorldOptions

    source = scratch / "in"
    options = WorldOptions(annotated=0.0)
    log = list(simulate(dialogues, seed, options))
    write_log(source / "a.jsonl", log[: dialogues // 2])
    write_log(source / "b.jsonl.gz", log[dialogues // 2 :])
    work(source, scratch / "unbroken", "local")
    expected = tree(scratch / "unbroken")
    rows = [killed(scratch, source, expected, "local", kills, seed)]
    if ray:
        rows.append(killed(scratch, source, expected, "ray", ray, seed))
    rows += [divided(scratch, source, expected, workers, shard) for workers, shard in ((1, SHARD), (4, SHARD), (4, 7))]
    rows.append(corrupted(scratch, log, seed))
    names = ["labelgen", "pyarrow", *(["ray"] if ray else [])]
    return {
        "order": 50,
        "title": "Faults while a log is labeled",
        "text": (
            f"SIGKILL to the whole process group at random points, {IN_A_ROW} times in a row into one folder, then finished by "
            "the same command; shards done at a kill: least, median and greatest of what the ledger held. Lost and doubled are "
            "dialogues; left over are temporary files; the bytes are compared with those of an unbroken run (where shards are "
            "cut otherwise, of all files but the manifest, which says how they were cut). Of corrupt input, lost are records "
            "that are neither labeled nor quarantined, or good ones that were quarantined. The annotator is a stand-in "
            "without a model: what is tested is what surrounds one."
        ),
        "command": (
            f"python scripts/measure_faults.py --out results/faults.json --kills {kills} --ray {ray} --dialogues "
            f"{dialogues} --seed {seed}"
        ),
        "versions": {name: version(name) for name in names},
        "data": f"A simulated log of {dialogues:,} dialogues in two files, shards of {SHARD}.",
        "columns": ["fault", "times", "shards done", "lost", "doubled", "left over", "equal bytes"],
        "rows": rows,
    }


def killed(scratch: Path, source: Path, expected: Mapping[str, bytes], engine: str, kills: int, seed: int) -> list[Any]:
    """Kill so often, finish after every few, compare."""
    rng = random.Random(f"{seed} {engine}")
    started = time.monotonic()
    assert attempt(source, scratch / f"{engine} whole", engine, None), "the unbroken run failed"
    whole_s = time.monotonic() - started
    done, held, counts, runs = 0, [], Counter[str](), 0
    while done < kills:
        out = scratch / f"{engine} {runs}"
        runs += 1
        for _ in range(min(IN_A_ROW, kills - done)):
            if attempt(source, out, engine, rng.random() * whole_s):
                break  # it was through before it could be killed
            done += 1
            ledger = out / ".labeling" / "ledger.jsonl"
            held.append(ledger.read_bytes().count(b'{"shard"') if ledger.exists() else 0)
        assert attempt(source, out, "local", None), Path(f"{out}.log").read_text()
        counts += compared(out, source, expected)
        counts["folders"] += 1
    held.sort()
    spread = f"{held[0]} / {held[len(held) // 2]} / {held[-1]}"
    equal = f"{counts['equal']} of {counts['folders']} folders"
    return [f"kill -9, {engine}", done, spread, counts["lost"], counts["doubled"], counts["left over"], equal]


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
    return [what, 1, None, counts["lost"], counts["doubled"], counts["left over"], "no" if missing else "yes"]


def compared(out: Path, source: Path, expected: Mapping[str, bytes]) -> Counter[str]:
    from labelgen.labeling.verify import verify

    found = tree(out)
    given = Counter(dialogue.id for dialogue in Log([source]))
    there = Counter(dialogue.id for name in ("a.jsonl", "b.jsonl.gz") for dialogue in Log([out / name]))
    return Counter(
        {
            "lost": (given - there).total(),
            "doubled": (there - given).total(),
            "left over": len(set(found) - set(expected)),
            "equal": int(found == expected and not list(verify(out, source))),
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
    return ["1% corrupt records", len(bad), None, lost, doubled, left_over, None]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its relative path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


if __name__ == "__main__":
    sys.exit(main())
