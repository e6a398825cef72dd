"""Anonymous memory of commands as a log grows: the peak of RssAnon, summed over a command's processes and sampled from /proc.

A command reads a whole simulated log in JSON Lines. The peak of the same command on a log of one dialogue is taken off, so that what is
left is what the log needs. File-backed pages are reported apart: the system takes them back when it needs them.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from labelgen.data.record import encode
from labelgen.simulator.log import simulate

from .results import Result, versions

EVERY_S = 0.02
COPY = 2000
"""Dialogues that are simulated; a log repeats them under other ids."""
_PART = "<part>"
Peaks = dict[str, float]

COMMANDS: Mapping[str, Sequence[str]] = {
    "data validate": ("data", "validate", "{log}"),
    "data convert": ("data", "convert", "{log}", "{out}.jsonl"),
    "data split": ("data", "split", "{log}", "{out}", "--parts", "train=0.9,test=0.1"),
    "feedback signals": ("feedback", "signals", "{log}", "{out}.jsonl"),
}


def measure(gigabytes: Sequence[float], command: str) -> list[Result]:
    """Peak memory of a command for logs of these sizes, and its growth from the first to the last in bytes a dialogue."""
    rows: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = _peak(_words(COMMANDS[command], _log(folder / "one.jsonl", 0.0)[0], folder))
        measured = []
        for size in gigabytes:
            log, dialogues = _log(folder / f"{size:g}.jsonl", size)
            peak = _peak(_words(COMMANDS[command], log, folder))
            measured.append((dialogues, peak["anonymous"]))
            for metric, value in (
                ("anonymous_mib", (peak["anonymous"] - empty["anonymous"]) / 2**20),
                ("file_mib", peak["file"] / 2**20),
                ("wall_seconds", peak["seconds"]),
            ):
                rows.append(_row(command, f"{size:g} GB, {dialogues:,} dialogues", metric, value))
        (few, low), *_, (many, high) = measured
        rows.append(
            _row(
                command, f"{gigabytes[0]:g} to {gigabytes[-1]:g} GB", "bytes_per_dialogue", (high - low) / (many - few)
            )
        )
    return rows


def _row(command: str, setting: str, metric: str, value: float) -> Result:
    used = versions("pyarrow", "msgspec")
    return Result(
        corpus="simulated", system=command, setting=setting, metric=metric, value=round(value, 1), versions=used
    )


def _log(path: Path, gigabytes: float) -> tuple[Path, int]:
    """A log of at least this size, and its number of dialogues: simulated ones again and again, under other ids and of other users."""
    lines = [
        encode(replace(dialogue, id=f"{_PART}{dialogue.id}", user=f"{_PART}{dialogue.user}")).decode()
        for dialogue in simulate(COPY if gigabytes else 1, seed=0)
    ]
    written = 0
    with path.open("w", encoding="utf-8") as out:
        for part in count():
            out.writelines(f"{line.replace(_PART, f'{part}-')}\n" for line in lines)
            written += len(lines)
            if out.tell() >= gigabytes * 1e9:
                return path, written
    raise AssertionError


def _words(template: Sequence[str], log: Path, folder: Path) -> list[str]:
    out = folder / f"out-{time.monotonic_ns()}"
    return [word.format(log=log, out=out) for word in template]


def _peak(words: Sequence[str]) -> Peaks:
    """Highest anonymous and file-backed memory in bytes of a command and its children, and its seconds."""
    code = "import sys; from labelgen.cli.main import main; sys.exit(main(sys.argv[1:]))"
    environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peaks = {"anonymous": 0.0, "file": 0.0}
    while process.poll() is None:
        now = [_status(pid) for pid in _family(process.pid)]
        for kind in peaks:
            peaks[kind] = max(peaks[kind], sum(one.get(kind, 0.0) for one in now))
        time.sleep(EVERY_S)
    if process.returncode:
        assert process.stderr is not None
        raise RuntimeError(
            f"labelgen {' '.join(words)} ended with {process.returncode}: {process.stderr.read()[-500:]!r}"
        )
    return {**peaks, "seconds": time.monotonic() - began}


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, new = [pid], [pid]
    while new:
        children: list[int] = []
        for one in new:
            with suppress(OSError):
                for task in Path(f"/proc/{one}/task").iterdir():
                    children += map(int, (task / "children").read_text().split())
        found += children
        new = children
    return found


def _status(pid: int) -> Peaks:
    kinds = {"RssAnon:": "anonymous", "RssFile:": "file"}
    with suppress(OSError, ValueError):
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return {kinds[words[0]]: 1024.0 * int(words[1]) for words in lines if words[0] in kinds}
    return {}
