"""How fast a step of training is, beside the padded step and the bare encoder, and how much memory it takes.

    python scripts/bench_training.py sgd/dev --format sgd --encoder runs/encoder --out results/training_speed.json
    python scripts/bench_training.py sgd/dev --format sgd --encoder runs/encoder --size base --turns 32 --rounds 2
    python scripts/bench_training.py sgd/dev --format sgd --encoder runs/encoder --memory --out results/training_memory.json

A step goes from dialogues to changed weights: batch, losses of goals, outcome, intents and slots, backward pass, clipping,
AdamW, and its share of encoding the texts of labels anew. Beside it stand, on the same dialogues, (a) the same model fed as
`[dialogues, turns, tokens]` in fp32: every text padded to the longest of its batch, every dialogue to the longest, by
transformers' own layers with torch's attention and dropout; (b) the encoder alone, forward and backward over the same packed texts
in the same precision. All take turns in one process on one thread, in an order drawn anew in each round, in seconds of CPU; a ratio
is of two times of one round, given as median, least and greatest. With --memory it is the peak of a process of its own for each number of
dialogues, with all that is loaded."""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from command import write_table
from torch import nn

from labelgen import __version__
from labelgen.data.labels import targets_of
from labelgen.data.log import Log
from labelgen.features.features import learn_features
from labelgen.features.layout import Batch, Passages
from labelgen.features.pretrained import load_encoder, load_tokenizer
from labelgen.kernels.packed import PACKED
from labelgen.kernels.processor import choose_instruction_set
from labelgen.model.batches import Example
from labelgen.model.build import assemble, make_tasks
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.turn_encoder import FastDropout
from labelgen.tasks.options import TaskOptions
from labelgen.training.module import TrainingModule
from labelgen.training.options import OptimizerOptions

TASKS = {"goals": TaskOptions(2.0), "outcome": TaskOptions(), "intents": TaskOptions(), "slots": TaskOptions(10.0)}
MAX_TOKENS = 64
PIECE = 512
"""Tokens of a piece where the encoder works in pieces."""
DIALOGUES = (8, 16, 32)
STEP, PADDED, BARE = "step", "padded", "bare"


def main() -> int:
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("log", help="file or folder of annotated records")
    to.add_argument("--format", default="labelgen", help="form of the records (default %(default)s)")
    to.add_argument("--encoder", required=True, help="its folder (`labelgen encoder` makes one)")
    to.add_argument(
        "--size", choices=("small", "base"), default="small", help="base: random weights (default %(default)s)"
    )
    to.add_argument("--turns", type=int, nargs="+", default=[32, 96], help="of a step (default %(default)s)")
    to.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    to.add_argument("--rounds", type=int, default=4, help="that are counted (default %(default)s)")
    to.add_argument("--seed", type=int, default=0, help="of dialogues and order (default %(default)s)")
    to.add_argument("--memory", action="store_true", help="measure memory, in pieces and whole, in the place of time")
    to.add_argument("--one-peak", type=int, nargs=2, help=argparse.SUPPRESS)
    to.add_argument("--out", type=Path, help="write the table here, as results/ has it")
    to.add_argument("--order", type=int, default=32, help="of the table among the others (default %(default)s)")
    args = to.parse_args()
    choose_instruction_set()
    torch.set_num_threads(1)
    if args.one_peak:
        print(json.dumps(_one_peak(Bench(args), *args.one_peak)))
        return 0
    if args.memory:
        columns = [
            "a step in fp32",
            "peak, GiB",
            f"peak in pieces of {PIECE} tokens, GiB",
            "time in pieces, times as long",
        ]
        rows, data = list(_memory_rows()), "The longest dialogues, one step each; the time is CPU time."
        title = f"Memory of training, {args.size} encoder"
    else:
        bench = Bench(args)
        columns = [
            "a step on one core",
            "padded step in fp32, times as long",
            "bare encoder, share of the step",
            "CPU time",
        ]
        rows = [row for turns in args.turns for row in bench.rows(turns)]
        data = f"{args.rounds} rounds, {len(bench.pool):,} dialogues to draw from, {bench.labels} labels with texts."
        title = f"Speed of training, {args.size} encoder"
    table = {
        "order": args.order,
        "title": title,
        "command": "python scripts/bench_training.py " + " ".join(_told(word) for word in sys.argv[1:]),
        "versions": {"labelgen": __version__, "python": platform.python_version(), "torch": str(torch.__version__)},
        "columns": columns,
        "rows": rows,
        "text": "Medians, with the least and greatest of the rounds in brackets; `scripts/bench_training.py --help` says how.",
        "data": data,
    }
    print(json.dumps(table, indent=1))
    write_table(args.out, table)
    return 0


class Bench:
    """A model with its optimizer, the dialogues, and each way to make a step."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        log = Log([args.log], args.format)
        self.pool = sorted(islice((d for d in log if d.turns), 600), key=lambda d: len(d.turns))
        torch.manual_seed(args.seed)
        encoder: Any = load_encoder(args.encoder, attention_dropout=0.0)
        if args.size == "base":
            config = encoder.config
            config.update({"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12})
            config.update({"intermediate_size": 3072})
            encoder = type(encoder)(config, add_pooling_layer=False)
        options = ModelOptions(encoder=args.encoder, max_tokens=MAX_TOKENS)
        features = learn_features(self.pool, ())
        tokenizer = load_tokenizer(args.encoder)
        self.model: LabelModel = assemble(options, make_tasks(TASKS, log.labels()), features, encoder, tokenizer, {})
        self.model.train()
        self.labels = sum(len(t.labels.names) for t in self.model.tasks.values() if t.reads_label_texts)
        self.module = TrainingModule(self.model, OptimizerOptions(), 1000, 0)
        self.optimizer: Any = self.module.configure_optimizers()["optimizer"]
        self.collator = self.model.collator()
        self.rng = Random(args.seed)

    def examples(self, turns: int) -> list[Example]:
        """Dialogues of like length, as training batches them, of so many turns together at most."""
        start, held = self.rng.randrange(len(self.pool) - turns // 2), 0
        chosen: list[Example] = []
        for dialogue in self.pool[start:]:
            held += len(dialogue.turns)
            if held > turns and chosen:
                break
            chosen.append(Example(dialogue, targets_of(dialogue.annotations[0])))
        return chosen

    def rows(self, turns: int) -> Iterator[list[Any]]:
        times: dict[tuple[str, str], list[float]] = {}
        # The first round, which meets cold caches, is not counted.
        for turn in range(self.args.rounds + 1):
            examples = self.examples(turns)
            batch = self.collator(examples)
            work: dict[tuple[str, str], Callable[[], None]] = {(PADDED, "fp32"): partial(self.padded, batch)}
            for name in self.args.precisions:
                work[STEP, name] = partial(self.step, examples, name)
                work[BARE, name] = partial(self.bare, batch, name)
            for key in self.rng.sample(list(work), len(work)):
                began = time.process_time()
                work[key]()
                taken = time.process_time() - began
                if key[0] == STEP:
                    taken += self.refresh(key[1]) / self.model.options.label_refresh_steps
                times.setdefault(key, []).append(taken)
                print(
                    f"round {turn} of {self.args.rounds}, {turns} turns: {key}: {taken:.2f} s",
                    file=sys.stderr,
                    flush=True,
                )
        for name in self.args.precisions:
            step, bare = times[STEP, name][1:], times[BARE, name][1:]
            yield [
                f"{turns} turns, {name}",
                _ratio(times[PADDED, "fp32"][1:], step),
                _ratio(bare, step),
                f"{median(step):.2f} s of CPU",
            ]

    def step(self, examples: Sequence[Example], precision: str) -> None:
        batch = self.collator(examples)
        self.model.steps.fill_(1)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            losses = self.model.losses(batch)
        self._finish(losses)

    def padded(self, batch: Batch) -> None:
        self.optimizer.zero_grad()
        with _plain(self.model.turn_encoder.encoder):
            given, encoded = _padded(self.model, batch)
            states = self.model.states(given, encoded)
            found = self.model.tasks.items()
            losses = {n: task.loss(self.model.heads[n](states, batch.layout), batch.targets[n]) for n, task in found}
            self._finish(losses)

    def bare(self, batch: Batch, precision: str) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            pooled, tokens = self.model.turn_encoder(batch.passages, True)
        (pooled.float().square().mean() + tokens.float().square().mean()).backward()

    def refresh(self, precision: str) -> float:
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            self.model.refresh_labels()
        return time.process_time() - began

    def _finish(self, losses: Any) -> None:
        options = {name: task.options for name, task in self.model.tasks.items()}
        whole = [options[name].weight * found.total / found.weight.clamp(min=1.0) for name, found in losses.items()]
        torch.autograd.backward(torch.stack(whole).sum())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


@contextmanager
def _plain(encoder: Any) -> Iterator[None]:
    """The encoder as transformers runs it."""
    encoder.set_attn_implementation("sdpa")
    with patch.object(FastDropout, "forward", nn.Dropout.forward):
        yield
    encoder.set_attn_implementation(PACKED)


def _padded(model: LabelModel, batch: Batch) -> tuple[Batch, Any]:
    """The texts of all turns as a padded grid, padded turns among them, and where the real ones stand in it."""
    texts = [tuple(row) for ids in batch.passages.groups for row in ids.tolist()]
    layout = batch.layout
    longest = max(map(len, texts))
    grid = torch.ones(len(layout.turns), layout.longest, 2, longest, dtype=torch.long)
    real = torch.zeros_like(grid)
    # A text of nothing still has to see something.
    real[..., 0] = 1
    where = layout.dialogue_of * layout.longest + layout.position
    for turn, (b, t) in enumerate(zip(layout.dialogue_of.tolist(), layout.position.tolist(), strict=True)):
        for side, row in enumerate((batch.passages.request[turn], batch.passages.response[turn])):
            ids = texts[int(row)]
            grid[b, t, side, : len(ids)] = torch.tensor(ids)
            real[b, t, side, : len(ids)] = 1
    seen = real.view(-1, longest)
    states = model.turn_encoder.encoder(input_ids=grid.view(-1, longest), attention_mask=seen).last_hidden_state
    pooled = (states * seen[..., None]).sum(dim=1) / seen.sum(dim=1, keepdim=True)
    tokens = [torch.arange(n) + 2 * int(w) * longest for n, w in zip(layout.token_counts, where, strict=True)]
    passages = Passages((), 2 * where, 2 * where + 1, torch.cat(tokens))
    return replace(batch, passages=passages), (pooled, states.reshape(-1, states.shape[-1]))


def _memory_rows() -> Iterator[list[Any]]:
    """Each number of dialogues, whole and in pieces, in processes of their own."""
    for count in DIALOGUES:
        whole, cut = (_in_process(count, piece) for piece in (0, PIECE))
        yield [
            f"{count} dialogues, {whole['tokens']:,} tokens",
            f"{whole['peak_gib']:.2f}",
            f"{cut['peak_gib']:.2f}",
            f"{cut['seconds'] / whole['seconds']:.2f}",
        ]


def _in_process(dialogues: int, piece: int) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--one-peak", str(dialogues), str(piece)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(f"{dialogues} dialogues, pieces of {piece}: {found}", file=sys.stderr, flush=True)
    told: dict[str, float] = json.loads(found)
    return told


def _one_peak(bench: Bench, dialogues: int, piece: int) -> dict[str, float]:
    examples = [Example(d, targets_of(d.annotations[0])) for d in bench.pool[-dialogues:]]
    bench.model.turn_encoder.chunk_tokens = piece or None
    began = time.process_time()
    bench.step(examples, "fp32")
    taken = time.process_time() - began
    return {
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "seconds": taken,
        "tokens": bench.collator(examples).tokens,
    }


def _ratio(times: Sequence[float], to: Sequence[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(times, to, strict=True)]
    return {"value": round(median(ratios), 3), "low": round(min(ratios), 3), "high": round(max(ratios), 3)}


def _told(word: str) -> str:
    """A path as a reader would give it: without the folders of this machine."""
    return "/".join(Path(word).parts[-2:]) if word.startswith("/") else word


if __name__ == "__main__":
    sys.exit(main())
