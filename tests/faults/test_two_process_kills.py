"""Trainings of two processes that are killed at random, again and again, and then finished: the same bytes as without kills.

LABELGEN_KILLS says how many kills there are; two where it is not set. They take turns: both processes after a
random time, as a machine that goes down; one of them after a random time; and the first one ahead of a random change to the disk
within its saves. If one is killed, the other has to end by itself. With `-s` the tests say what the kills met, and how long that took."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import psutil
from labeled import LABELS, labeled_dialogue
from some_logs import tree
from whole_runs import TIMED, common

from labelgen.data.log import write_log
from labelgen.training.tracking import read_metrics

KILLS = int(os.environ.get("LABELGEN_KILLS", "2"))
IN_A_ROW = 5
CHANGES = 60
"""About the number of changes to the disk of a whole run."""
LIMIT_S = 300
"""For a process that waits forever."""
SCRIPT = """
import os, sys
from killed_training import kill_from_now_on
from labelgen.cli.main import main

if os.environ["CHANGE"] and os.environ.get("LOCAL_RANK", "0") == "0":
    kill_from_now_on(int(os.environ["CHANGE"]))
sys.exit(main(sys.argv[1:]))
"""


class TwoProcesses:
    """A command whose two processes are in one group."""

    def __init__(self, folder: Path, words: list[str], change: int | None = None) -> None:
        script = folder / "script.py"
        script.write_text(SCRIPT)
        tests = Path(__file__).parents[1]
        paths = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, script, "finetune", *words],
            env={**os.environ, "PYTHONPATH": paths, "CHANGE": "" if change is None else str(change)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, limit_s: float | None = None) -> int:
        """Exit code of the first process once all have ended; the pipe of errors closes with the last one."""
        try:
            self.errors = self.process.communicate(timeout=limit_s)[1]
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        return self.process.returncode

    def wait(self, seconds: float) -> bool:
        """Whether the first process still runs after this time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def kill(self, who: str) -> None:
        """who: both, first or second. The second may not have begun."""
        if who == "both":
            os.killpg(self.process.pid, signal.SIGKILL)
            return
        found = [self.process.pid] if who == "first" else _ranks(self.process.pid)
        for pid in found:
            os.kill(pid, signal.SIGKILL)


def _ranks(first: int) -> list[int]:
    """Processes that a training started to train with it."""
    return [p.pid for p in psutil.Process(first).children() if "script.py" in " ".join(p.cmdline())]


def test_training_of_two_processes_random_kills_same_bytes(tmp_path: Path, tiny_encoder: Path):
    log = tmp_path / "log" / "train.jsonl"
    write_log(log, [labeled_dialogue(seed) for seed in range(14)], LABELS)

    def words(out: str) -> list[str]:
        more = (f"--data.valid=[{log}]", "--length.keep=best", "--length.max_epochs=4", "--batch.accumulate=1")
        two = ("--hardware.devices=2", "--hardware.threads=1")
        return common(log, tiny_encoder, out, *more, *two)

    def files(out: str) -> dict[str, bytes]:
        """The model but for the card, which names the folder of the run; names of all other files; and rows without times."""
        everything = tree(tmp_path / out)
        model = {
            name: content
            for name, content in everything.items()
            if name.startswith("model/") and not any(part in name for part in ("card", "digests", "README"))
        }
        rows = [
            {key: value for key, value in row.items() if key not in TIMED}
            for row in read_metrics(tmp_path / out / "metrics.jsonl")
        ]
        return {**dict.fromkeys(everything, b""), **model, "metrics.jsonl": msgspec.json.encode(rows)}

    began = time.monotonic()
    whole = TwoProcesses(tmp_path, words("whole"))
    assert whole.end() == 0, whole.errors
    whole_s = time.monotonic() - began
    expected = files("whole")

    rng = random.Random(0)
    met: Counter[str] = Counter()
    slowest_s = 0.0
    while met.total() < KILLS:
        out = f"killed{met.total()}"
        for _ in range(min(IN_A_ROW, KILLS - met.total())):
            who = ("save", "second", "both", "first")[met.total() % 4]
            run = TwoProcesses(tmp_path, words(out), rng.randrange(CHANGES) if who == "save" else None)
            if who == "save":
                killed = run.process.wait() == -signal.SIGKILL
            elif killed := run.wait(rng.uniform(0.0, whole_s)):
                run.kill(who)
            since = time.monotonic()
            code = run.end(LIMIT_S)
            slowest_s = max(slowest_s, time.monotonic() - since)
            assert code != 0 or not killed or who == "second", run.errors
            if code == 0:
                break
            met[f"{who}, {_state(tmp_path / out)}"] += 1
        last = TwoProcesses(tmp_path, words(out))
        assert last.end() == 0, last.errors
        found = files(out)
        assert {name for name in {*found, *expected} if found.get(name) != expected.get(name)} == set()
        shutil.rmtree(tmp_path / out)
    print(f"\n{met.total()} kills, the other process ended within {slowest_s:.1f} s")
    for name, count in sorted(met.items()):
        print(f"  {count} {name}")


def _state(out: Path) -> str:
    folder = out / "checkpoints"
    index = folder / "index.json"
    saved = {path.name for path in folder.glob("*.ckpt")}
    if (out / "model").exists():
        return "after the model"
    if any(folder.glob(".*.part")):
        return "within the write of a checkpoint or of the index"
    if not index.exists():
        return "before the first commit"
    named = {entry["file"] for entry in msgspec.json.decode(index.read_bytes()).values() if entry}
    return "between checkpoint, index and removal" if saved != named else "between two saves"
