"""What one long dialogue costs: seconds of CPU and peak memory of labeling it, by its number of turns; and odd ones.

    python scripts/measure_long_dialogues.py --turns 1000 10000 --out results/long_dialogues.json

A dialogue is made of the turns of simulated ones, one behind the other, and labeled with every task from file to file by a
process that is started anew, on one thread. The model is new, of the offline encoder, with 50 names of intents and 100 of
slots: untrained heads take as long as trained ones. Memory is the process's peak, model and libraries with it. The labels of
the shortest are compared with what is said of it at once, without windows. The odd ones are in one log: a turn whose texts have
100,000 characters each, requests without any response, responses without any request, turns of nothing, and no turns."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from command import arguments, parsed, tells_errors, write_table
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName
from labelgen.data.labels import Annotation
from labelgen.data.log import Log, write_log
from labelgen.features.pretrained import write_offline_encoder
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.model import annotate as annotate_module
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.nn import dialogue_encoder
from labelgen.simulator.log import simulate
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, nargs="+", default=[1000, 10_000], help="of each dialogue")
    parser.add_argument("--odd", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parsed(parser, argv)
    if args.one:
        dialogues = odd() if args.odd else [dialogue_of(args.turns[0])]
        print(json.dumps(labeled(args.one, dialogues, "odd" if args.odd else str(args.turns[0]))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        table = measured(Path(folder), sorted(args.turns))
    write_table(args.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def measured(folder: Path, turns: Sequence[int]) -> dict[str, Any]:
    """The table of these lengths."""
    made(folder)
    rows = []
    for length in turns:
        rows.append([f"{length:,} turns", *apart(folder, "--turns", str(length)), None, None])
    rows[0][3:] = at_once(folder, turns[0])
    rows.append(["odd ones", *apart(folder, "--odd"), None, None])
    return {
        "order": 51,
        "title": "Long dialogues and odd ones",
        "text": (
            "A dialogue of simulated turns is labeled with every task, from file to file, on one core; peak memory is that of "
            "the process, 50 names of intents and 100 of slots. At once: the same model without windows on the shortest; labels "
            "that differ (task, place or name), and the greatest difference of a probability. The odd ones, in one log: a turn "
            "whose texts have 100,000 characters each, requests without responses, responses without requests, turns of nothing, "
            "and no turns; all of them were labeled."
        ),
        "command": (
            f"python scripts/measure_long_dialogues.py --turns {' '.join(map(str, turns))} --out results/long_dialogues.json"
        ),
        "versions": {name: version(name) for name in ("labelgen", "torch")},
        "data": "Simulated dialogues of seed 0, joined.",
        "columns": ["dialogue", "CPU seconds", "peak memory (GB)", "labels that differ at once", "greatest difference"],
        "rows": rows,
    }


def apart(folder: Path, *words: str) -> tuple[float, float]:
    """Seconds of CPU and gigabytes of a process of its own."""
    own = [sys.executable, __file__, "--one", str(folder), *words]
    found = json.loads(subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found["spent_s"], found["peak_gb"]


def made(folder: Path) -> None:
    """The model, which adds context to its turns as a trained one does."""
    torch.manual_seed(0)
    write_offline_encoder(folder / "encoder")
    names = {
        task: tuple(LabelName(f"{task} {k}") for k in range(count)) for task, count in (("intents", 50), ("slots", 100))
    }
    tasks = {name: TaskOptions() for name in TASKS}
    options = ModelOptions(encoder=str(folder / "encoder"))
    model = build_model(options, tasks, {"simulated": names}, list(simulate(200, seed=1)))
    with torch.no_grad():
        for parameter in model.dialogue_encoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_model(model, folder / "model", {})


def dialogue_of(turns: int) -> Dialogue:
    said = islice((turn for dialogue in simulate(turns, seed=0) for turn in dialogue.turns), turns)
    plain = [replace(turn, feedback=(), time_s=None, response_time_s=None) for turn in said]
    return Dialogue(id="long", turns=tuple(plain), source="simulated")


def odd() -> list[Dialogue]:
    long = "find me a cheap table for two " * 3400
    plain = dialogue_of(1000)
    return [
        Dialogue(id="long-turn", turns=(Turn(request=long[:100_000], response=long[:100_000]),), source="simulated"),
        replace(plain, id="no-responses", turns=tuple(replace(turn, response="") for turn in plain.turns)),
        replace(plain, id="no-requests", turns=tuple(Turn(request="", response=turn.response) for turn in plain.turns)),
        Dialogue(id="nothing-said", turns=(Turn(request="", response=""),) * 3, source="simulated"),
        Dialogue(id="no-turns", turns=(), source="simulated"),
    ]


def labeled(folder: Path, dialogues: Sequence[Dialogue], name: str) -> dict[str, float]:
    torch.set_num_threads(1)
    source = folder / f"{name}.jsonl"
    write_log(source, dialogues)
    annotator = Annotator(folder / "model")
    began = time.process_time()
    sums = label(source, folder / f"labeled-{name}", InlineEngine(lambda: annotator), annotator.name, {})
    if sums.labeled != len(dialogues):
        raise RuntimeError(f"{sums.labeled} of {len(dialogues)} dialogues labeled: {sums.quarantined}")
    spent_s = time.process_time() - began
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"spent_s": round(spent_s, 1), "peak_gb": round(peak_gb, 2)}


def at_once(folder: Path, turns: int) -> list[Any]:
    """How many labels differ from those without windows, and by how much a probability at most."""
    (dialogue,) = Log([folder / f"labeled-{turns}" / f"{turns}.jsonl"])
    windows = dialogue.annotation("model")
    assert windows is not None
    annotate_module.WINDOW = dialogue_encoder._WINDOW = turns
    (whole,) = Annotator(folder / "model").annotate([replace(dialogue, annotations=())])
    ours, theirs = probabilities(windows), probabilities(whole)
    shared = ours.keys() & theirs.keys()
    return [len(ours.keys() ^ theirs.keys()), f"{max(abs(ours[key] - theirs[key]) for key in shared):.1e}"]


def probabilities(annotation: Annotation) -> dict[Any, float]:
    return {(x.task, x.at, x.name): x.probability for x in annotation.labels if x.probability is not None}


if __name__ == "__main__":
    sys.exit(main())
