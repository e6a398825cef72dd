"""A labeling that is killed at random, again and again, and then finished: nothing lost, nothing doubled, the same bytes.

LABELGEN_KILLS is the number of kills; a few where it is not set. Half of them come after a random time, in all processes of the run, and half
before a random change to the disk. With `-s` the test prints what the kills met."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_annotator import stand_in
from killed_training import kill_from_now_on, kill_within, processes
from labeled import labeled_dialogue
from some_logs import tree

import labelgen.steps.label
from labelgen.cli.main import main
from labelgen.data.log import write_log
from labelgen.labeling.verify import verify

KILLS = int(os.environ.get("LABELGEN_KILLS", "4"))
IN_A_ROW = 5
CHANGES = 150
"""About the number of changes to the disk of a whole run."""


def run(source: Path, out: Path, model: Path | None, seconds: float | None = None, change: int | None = None) -> None:
    """Label with two workers; killed within some time, or before a change to the disk. model: None for a stand-in."""
    for output in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    if model is None:
        setattr(labelgen.steps.label, "load_annotator", stand_in)  # noqa: B010
    if seconds is not None:
        kill_within(seconds)
    if change is not None:
        os.setpgid(0, 0)
        kill_from_now_on(change)
    words = ["--model", str(model or "none"), "--workers", "2", "--shard-dialogues", "2"]
    raise SystemExit(main(["label", str(source), str(out), *words]))


@pytest.mark.parametrize("with_model", [False, True] if "LABELGEN_KILLS" in os.environ else [False])
def test_labeling_random_kills_same_bytes(tmp_path: Path, tiny_model: Path, with_model: bool):
    source, whole = tmp_path / "in", tmp_path / "whole"
    model = tiny_model if with_model else None
    for k, name in enumerate(("a.jsonl", "b.jsonl.gz", "sub/c.parquet")):
        write_log(source / name, [labeled_dialogue(100 * k + seed) for seed in range(12)])
    rng = random.Random(0)
    met: Counter[str] = Counter()
    with processes() as in_process:
        began = time.monotonic()
        assert in_process(run, source, whole, model) == 0
        whole_s = time.monotonic() - began
        while met.total() < KILLS:
            out = tmp_path / f"killed{met.total()}"
            for k in range(min(IN_A_ROW, KILLS - met.total())):
                seconds = rng.uniform(0.0, whole_s) if k % 2 else None
                change = None if k % 2 else rng.randrange(CHANGES)
                code = in_process(run, source, out, model, seconds, change)
                assert code in (0, -signal.SIGKILL)
                if code == 0:
                    break
                met[_state(out)] += 1
            assert in_process(run, source, out, model) == 0
            assert tree(out) == tree(whole)
            assert list(verify(out, source)) == []
            shutil.rmtree(out)
    print(f"\n{met.total()} kills: {dict(met)}")


def _state(out: Path) -> str:
    ledger = out / ".labeling" / "ledger"
    if not ledger.exists():
        return "after the manifest" if (out / "manifest.json").exists() else "before the first commit"
    return "with shards committed" if len(list(ledger.iterdir())) > 1 else "before the first commit"
