"""Compare results of this tree with those of an earlier commit: signals, targets, losses, labels and an evaluation of a simulated log.

usage: python scripts/same.py [--base COMMIT] [--tolerance X] [--out FOLDER]

Both versions get the same log and encoder, which the earlier one writes. Texts, places and names must be equal, numbers within the
tolerance. What tells of versions, digests and machines is left out. The exit code is 1 where anything differs."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BASE = "cbea572"
"""Version 0.3.0."""
LEFT_OUT = (
    *("provenance", "version", "digest", "elapsed", "per_s", "memory"),
    *(
        ".form",
        "setting.annotators",
        "setting.groups",
        "setting.pool_units",
        "worst_slices",
        "constant per source",
        ".systems",
    ),
)
"""Parts of places that tell of the version, the machine or the time, or that are written in another form."""
STEPS = {
    **{
        f"{step} {part}": f"feedback {step} {source}{part}.jsonl {made}/{part}.jsonl"
        for part in ("train", "valid")
        for step, source, made in (("signals", "parts/", "signals"), ("aggregate", "signals/", "targets"))
    },
    "em": "feedback aggregate signals/train.jsonl em/train.jsonl --method em",
    "training": "finetune --config demo --out training --model.encoder ENCODER --data.train [targets/train.jsonl] "
    "--data.valid [targets/valid.jsonl] --model.encoder_frozen true --length.max_epochs 2 --targets.feedback true "
    "--targets.annotators [kind=person] --hardware.precision 32",
    "labels": "label parts/test.jsonl labels --model training/model",
    "evaluation": "evaluate parts/test.jsonl --model training/model --train parts/train.jsonl --out evaluation",
}
COMPARED = (
    *("signals/train.jsonl", "signals/valid.jsonl", "targets/train.jsonl", "targets/valid.jsonl", "em/train.jsonl"),
    *("training/metrics.jsonl", "labels/test.jsonl", "evaluation/evaluation.json"),
)


def labelgen(tree: Path, folder: Path, line: str) -> None:
    """Run one command of a tree in a folder."""
    offline = {"PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "labelgen.cli.main", *line.split()]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **offline}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tree}: labelgen {line}\n{done.stdout}{done.stderr}")


def checkout(commit: str, folder: Path) -> None:
    """The files of a commit."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit, "labelgen"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    # Packages that were installed since may register names that were built in then.
    registry = folder / "labelgen" / "base" / "registry.py"
    registry.write_text(registry.read_text().replace("entry_points(group=self.group)", "()"))


def run_steps(tree: Path, folder: Path, shared: Path) -> None:
    """All steps in a new folder that begins with the shared parts of the log."""
    shutil.copytree(shared / "parts", folder / "parts")
    for made in ("signals", "targets", "em"):
        (folder / made).mkdir()
        shutil.copy(shared / "parts" / "labels.json", folder / made)
    for name, line in STEPS.items():
        print(f"{folder.name}: {name}", flush=True)
        labelgen(tree, folder, line.replace("ENCODER", str(shared / "encoder")))


def differences(old: Any, new: Any, tolerance: float, where: str = "") -> Iterator[str]:
    """Places where two JSON values differ by more than the tolerance; an absent key equals null and []."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if not any(word in f"{where}.{key}" for word in LEFT_OUT):
                yield from differences(old.get(key), new.get(key), tolerance, f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        for number, (first, second) in enumerate(zip_longest(old, new)):
            yield from differences(first, second, tolerance, f"{where}[{number}]")
    elif isinstance(old, float | int) and isinstance(new, float | int):
        if not abs(old - new) <= tolerance * max(1.0, abs(old)):
            yield f"{where}: {old} became {new}"
    elif (None if old == [] else old) != (None if new == [] else new):
        yield f"{where}: {json.dumps(old)[:80]} became {json.dumps(new)[:80]}"


def read(path: Path) -> list[Any]:
    """The JSON values of a file, of one or of a line each."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


def main() -> int:
    """Run both versions and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "same")
    options = parser.parse_args()
    out = options.out.resolve()
    old, shared = out / "old", out / "shared"
    made_of = out / "base.txt"
    if not made_of.exists() or made_of.read_text() != options.base:
        shutil.rmtree(out, ignore_errors=True)
        shared.mkdir(parents=True)
        old.mkdir()
        checkout(options.base, out / "base")
        for line in (
            "simulate log.jsonl --dialogues 150 --seed 1 --annotated 0.6",
            "data split log.jsonl parts --parts train=0.6,valid=0.2,test=0.2",
            "encoder encoder",
        ):
            labelgen(out / "base", shared, line)
        run_steps(out / "base", old, shared)
        made_of.write_text(options.base)
    new = out / "new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    run_steps(ROOT, new, shared)
    count = 0
    for name in COMPARED:
        found = list(differences(read(old / name), read(new / name), options.tolerance))
        equal = (old / name).read_bytes() == (new / name).read_bytes()
        print(f"{name}: {'equal bytes' if equal else f'{len(found)} differences'}", *found[:20], sep="\n  ")
        count += len(found)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
