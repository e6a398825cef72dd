"""Commands that are killed at random, again and again, and then finished: nothing lost, nothing doubled, the same bytes.

LABELGEN_KILLS says how many kills each command gets; a few where it is not set. Half of them come after a random time, and half ahead of a
random change to the disk. With `-s` the tests say what the kills met."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from fake_annotator import stand_in
from killed_training import kill_from_now_on, kill_within, processes
from labeled import LABELS, labeled_dialogue
from some_logs import tree
from whole_runs import common

import labelgen.cli.label
from labelgen.cli.main import main
from labelgen.data.log import write_log
from labelgen.labeling.verify import verify
from labelgen.training.tracking import read_metrics

KILLS = int(os.environ.get("LABELGEN_KILLS", "2"))
IN_A_ROW = 5
TIMED = ("turns_per_s", "tokens_per_s", "peak_memory_gib", "elapsed_s")


@pytest.fixture(scope="module")
def in_process() -> Iterator[Callable[..., int]]:
    with processes() as run:
        yield run


def command(argv: Sequence[str], model: bool = True, seconds: float | None = None, change: int | None = None) -> None:
    """One command, which is killed within some time, or ahead of a change to the disk. model: else a stand-in labels."""
    for output in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    if not model:
        setattr(labelgen.cli.label, "load_annotator", stand_in)  # noqa: B010
    if seconds is not None:
        kill_within(seconds)
    if change is not None:
        os.setpgid(0, 0)
        kill_from_now_on(change)
    raise SystemExit(main(argv))


def kill_again_and_again(
    in_process: Callable[..., int],
    argv: Callable[[str], Sequence[str]],
    changes: int,
    check: Callable[[str], None],
    state: Callable[[str], str],
    model: bool = True,
) -> Counter[str]:
    """Folders are killed IN_A_ROW times, finished and checked, until there were KILLS; gives what the kills met."""
    rng = random.Random(0)
    met: Counter[str] = Counter()
    began = time.monotonic()
    assert in_process(command, argv("whole"), model) == 0
    whole_s = time.monotonic() - began
    while met.total() < KILLS:
        out = f"killed{met.total()}"
        for k in range(min(IN_A_ROW, KILLS - met.total())):
            seconds = rng.uniform(0.0, whole_s) if k % 2 else None
            change = None if k % 2 else rng.randrange(changes)
            code = in_process(command, argv(out), model, seconds, change)
            assert code in (0, -signal.SIGKILL)
            if not code:
                break
            met[state(out)] += 1
        assert in_process(command, argv(out), model) == 0
        check(out)
    print(f"\n{met.total()} kills: {dict(met)}")
    return met


def test_training_random_kills_same_bytes(tmp_path: Path, tiny_encoder: Path, in_process: Callable[..., int]):
    log = tmp_path / "log" / "train.jsonl"
    write_log(log, [labeled_dialogue(seed) for seed in range(14)], LABELS)

    def argv(out: str) -> list[str]:
        more = [
            f"--data.valid=[{log}]",
            "--length.keep=best",
            "--length.max_epochs=6",
            "--optimizer.learning_rate=0.01",
        ]
        return ["finetune", *common(log, tiny_encoder, out, *more)]

    def files(out: str) -> dict[str, bytes]:
        """The model but for the card, which names the folder of the run; names of all others; and rows without times."""
        found = tree(tmp_path / out)
        model = {n: d for n, d in found.items() if n.startswith("model/") and "card" not in n and "digests" not in n}
        rows = [
            {key: value for key, value in row.items() if key not in TIMED}
            for row in read_metrics(tmp_path / out / "metrics.jsonl")
        ]
        return {**dict.fromkeys(found, b""), **model, "metrics.jsonl": msgspec.json.encode(rows)}

    def state(out: str) -> str:
        folder = tmp_path / out / "checkpoints"
        index = folder / "index.json"
        saved = {path.name for path in folder.glob("*.ckpt")} if folder.exists() else set()
        if (tmp_path / out / "model").exists():
            return "after the model"
        if any(folder.glob(".*.part")):
            return "within the write of a checkpoint or of the index"
        if not index.exists():
            return "before the first commit"
        named = {held["file"] for held in msgspec.json.decode(index.read_bytes()).values() if held}
        return "between checkpoint, index and removal" if saved != named else "elsewhere"

    def check(out: str) -> None:
        found, expected = files(out), files("whole")
        assert {name for name in {*found, *expected} if found.get(name) != expected.get(name)} == set()
        shutil.rmtree(tmp_path / out)

    kill_again_and_again(in_process, argv, 80, check, state)


@pytest.mark.parametrize("model", [False, True] if "LABELGEN_KILLS" in os.environ else [False])
def test_labeling_random_kills_same_bytes(
    tmp_path: Path, tiny_model: Path, in_process: Callable[..., int], model: bool
):
    """By a stand-in, which leaves more of the time to what is around it, and where kills are asked for by a model too."""
    source = tmp_path / "in"
    for k, name in enumerate(("a.jsonl", "b.jsonl.gz", "c.jsonl")):
        write_log(source / name, [labeled_dialogue(100 * k + seed) for seed in range(12)])

    def argv(out: str) -> list[str]:
        words = ["--model", str(tiny_model), "--workers", "2", "--shard-dialogues", "2"]
        return ["label", str(source), str(tmp_path / out), *words]

    def state(out: str) -> str:
        ledger = tmp_path / out / ".labeling" / "ledger.jsonl"
        if not ledger.exists():
            return "after the manifest" if (tmp_path / out / "manifest.json").exists() else "before the first commit"
        return "with shards committed" if ledger.read_bytes().count(b"\n") > 1 else "before the first commit"

    def check(out: str) -> None:
        assert tree(tmp_path / out) == tree(tmp_path / "whole")
        assert list(verify(tmp_path / out, source)) == []
        shutil.rmtree(tmp_path / out)

    kill_again_and_again(in_process, argv, 150, check, state, model)
