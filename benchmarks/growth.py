"""Time and memory as a log or a dialogue grows: labeling, consensus, and single long dialogues.

Each length is measured in a process of its own, on one thread, from file to file. Models are new: untrained heads take as long as
trained ones. Memory is the peak of the process, with model and libraries.
"""

import random
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace

from labelgen.cli.main import main as labelgen
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.log import Log, write_log
from labelgen.features.pretrained import load_encoder, write_offline_encoder
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

from .results import Cell, Result, in_new_process, versions

AT_ONCE = 1_000
"""Dialogues simulated at a time."""
TURNS = 10
NAMES = ("bad", "fair", "good")
RELIABILITY = {"ann": 0.95, "ben": 0.9, "cal": 0.8, "dot": 0.7, "eve": 0.5}


def _row(system: str, setting: str, metric: str, cell: Cell, **fields: Any) -> Result:
    used = versions("torch")
    return Result(corpus="simulated", system=system, setting=setting, metric=metric, versions=used, **cell, **fields)


def logs(turns: Sequence[int], layers: int) -> list[Result]:
    """Rate and memory of labeling a log, by its length; layers: of the encoder."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _small_model(Path(folder), layers)
        for length in sorted(turns):
            measured = in_new_process("benchmarks.growth:label_log", folder, length)
            seen, spent_s = measured["returned"]
            for metric, value in (("turns_per_cpu_second", round(seen / spent_s, 1)), ("peak_mb", measured["peak_mb"])):
                rows.append(_row("labelgen", f"{seen:,}", metric, {"value": value}, split=f"{layers} layers"))
    return rows


def consensus(items: Sequence[int]) -> list[Result]:
    """Time and memory of a consensus of three annotators, by the number of rated turns."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in items:
            log = Path(folder) / f"{number}.jsonl"
            write_log(log, _rated(number))
            for method in ("majority", "dawid-skene"):
                measured = in_new_process(
                    "benchmarks.growth:run_consensus", method, str(log), str(log.with_suffix(".out.jsonl"))
                )
                for metric in ("cpu_seconds", "peak_mb"):
                    rows.append(_row(method, f"{number:,}", metric, {"value": measured[metric]}))
    return rows


def dialogues(turns: Sequence[int]) -> list[Result]:
    """Time and memory of one long dialogue with every task, and of odd dialogues; the labels of the shortest against those
    without windows."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _full_model(Path(folder))
        for name in (*map(str, turns), "odd"):
            setting = "odd ones" if name == "odd" else f"{int(name):,} turns"
            measured = in_new_process("benchmarks.growth:label_dialogues", folder, name)
            for metric, value in (
                ("cpu_seconds", measured["cpu_seconds"]),
                ("peak_gb", round(measured["peak_mb"] / 1000, 2)),
            ):
                rows.append(_row("labelgen label", setting, metric, {"value": value}))
        changed, largest = _without_windows(Path(folder), turns[0])
        shortest = f"{turns[0]:,} turns"
        rows.append(_row("labelgen label", shortest, "labels_changed", {"value": float(changed)}))
        rows.append(_row("labelgen label", shortest, "largest_probability_change", {"value": largest}))
    return rows


def label_log(folder: str, turns: int) -> tuple[int, float]:
    """Label a simulated log of about so many turns; its turns and the CPU seconds of labeling."""
    import time

    torch.set_num_threads(1)
    source = Path(folder) / f"log-{turns}.jsonl"
    write_log(source, _simulated(turns))
    annotator = Annotator(Path(folder) / "model")
    began = time.process_time()
    label(source, Path(folder) / f"labeled-{turns}", InlineEngine(lambda: annotator), annotator.name, {})
    spent_s = time.process_time() - began
    return sum(len(dialogue.turns) for dialogue in Log([source])), spent_s


def run_consensus(method: str, log: str, out: str) -> int:
    """One consensus by the command."""
    return labelgen(["consensus", log, out, "--method", method, "--force"])


def label_dialogues(folder: str, name: str) -> None:
    """Label one dialogue of so many turns, or the odd ones."""
    torch.set_num_threads(1)
    made = _odd() if name == "odd" else [_dialogue_of(int(name))]
    source = Path(folder) / f"{name}.jsonl"
    write_log(source, made)
    annotator = Annotator(Path(folder) / "model")
    sums = label(source, Path(folder) / f"labeled-{name}", InlineEngine(lambda: annotator), annotator.name, {})
    if sums.labeled != len(made):
        raise RuntimeError(f"{sums.labeled} of {len(made)} dialogues labeled: {sums.quarantined}")


def _small_model(folder: Path, layers: int) -> None:
    """A model of goals, outcomes and quality on the first layers of the offline encoder."""
    encoder = folder / "encoder"
    write_offline_encoder(encoder)
    whole: Any = load_encoder(str(encoder))
    whole.encoder.layer = whole.encoder.layer[:layers]
    whole.config.num_hidden_layers = layers
    whole.save_pretrained(encoder)
    tasks = {name: TaskOptions() for name in ("goals", "outcome", "quality")}
    save_model(
        build_model(ModelOptions(encoder=str(encoder)), tasks, {}, list(simulate(200, seed=1))), folder / "model", {}
    )


def _simulated(turns: int) -> Iterator[Dialogue]:
    seen = 0
    for seed in count():
        # A seed stands in each dialogue's id, so none comes twice.
        for dialogue in simulate(AT_ONCE, seed):
            if seen >= turns:
                return
            seen += len(dialogue.turns)
            yield dialogue


def _rated(items: int) -> Iterator[Dialogue]:
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
                        Label("quality", AtTurn(t), name if rng.random() < RELIABILITY[who] else rng.choice(NAMES))
                        for t, name in enumerate(truth)
                    ),
                )
                for who in sorted(rng.sample(sorted(RELIABILITY), 3))
            ),
        )


def _full_model(folder: Path) -> None:
    """A model of every task, whose dialogue encoder changes its input as a trained one does."""
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


def _dialogue_of(turns: int) -> Dialogue:
    taken = islice((turn for dialogue in simulate(turns, seed=0) for turn in dialogue.turns), turns)
    plain = [replace(turn, feedback=(), time_s=None, response_time_s=None) for turn in taken]
    return Dialogue(id="long", turns=tuple(plain), source="simulated")


def _odd() -> list[Dialogue]:
    long = "find me a cheap table for two " * 3400
    plain = _dialogue_of(1000)
    return [
        Dialogue(id="long-turn", turns=(Turn(request=long[:100_000], response=long[:100_000]),), source="simulated"),
        replace(plain, id="no-responses", turns=tuple(replace(turn, response="") for turn in plain.turns)),
        replace(plain, id="no-requests", turns=tuple(Turn(request="", response=turn.response) for turn in plain.turns)),
        Dialogue(id="nothing-said", turns=(Turn(request="", response=""),) * 3, source="simulated"),
        Dialogue(id="no-turns", turns=(), source="simulated"),
    ]


def _without_windows(folder: Path, turns: int) -> tuple[int, float]:
    """How many labels differ from those without windows, and by how much a probability at most."""
    (dialogue,) = Log([folder / f"labeled-{turns}" / f"{turns}.jsonl"])
    windows = dialogue.annotation("model")
    assert windows is not None
    annotate_module.WINDOW = dialogue_encoder._WINDOW = turns
    (whole,) = Annotator(folder / "model").annotate([replace(dialogue, annotations=())])
    ours, theirs = _probabilities(windows), _probabilities(whole)
    shared = ours.keys() & theirs.keys()
    return len(ours.keys() ^ theirs.keys()), float(f"{max(abs(ours[key] - theirs[key]) for key in shared):.1e}")


def _probabilities(annotation: Annotation) -> dict[Any, float]:
    return {(x.task, x.at, x.name): x.probability for x in annotation.labels if x.probability is not None}
