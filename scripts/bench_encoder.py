"""How much faster the turn encoder trains than in the forms that it was chosen over (docs/explanation/decisions.md).

    python scripts/bench_encoder.py
    python scripts/bench_encoder.py sgd/dev --format sgd
    python scripts/bench_encoder.py sgd/dev --format sgd --precision bf16-mixed

Attention packed over passages of all lengths is held against a pass for each length, attention in plain products against
torch's own kernel, and one look-up of all ids against one for each length. Timed is what training does with the encoder
in one batch, forward and backward, without the optimizer, in seconds of one core's work, which other processes change
little. The forms take turns, and a ratio is of two times of one turn. Prints one JSON object: for each peer its time over ours, the median with the least and the
greatest over all seeds and repetitions."""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional as F

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.features.layout import Passages
from labelgen.features.pretrained import load_encoder, load_tokenizer, write_offline_encoder
from labelgen.features.text import Tokenizer, group_passages
from labelgen.kernels.packed import PACKED
from labelgen.kernels.processor import choose_instruction_set
from labelgen.model.options import ModelOptions
from labelgen.nn.turn_encoder import TurnEncoder
from labelgen.simulator.log import simulate
from labelgen.training.options import BatchOptions

TURNS = BatchOptions().turns
LEAST_TOKENS = 8
"""The encoder fills smaller groups up; they are left out, so that a peer need not know by how much."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", nargs="*", help="files or folders of records (default: the simulated log)")
    parser.add_argument("--format", default="labelgen", help="form of the records (default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a batch each (default %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="of each batch (default %(default)s)")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true", help="default %(default)s")
    args = parser.parse_args()
    choose_instruction_set()
    torch.set_num_threads(1)
    mixed = args.precision == "bf16-mixed"
    encoder, tokenizer = offline()
    log = list(Log(args.log, args.format)) if args.log else None
    batches = [(seed, passages(tokenizer, drawn(log, seed))) for seed in args.seeds]
    ratios: dict[str, list[float]] = {}
    for seed, batch in batches:
        for name, found in compared(encoder, batch, args.repetitions, seed, mixed).items():
            ratios.setdefault(name, []).extend(found)
    print(
        json.dumps(
            {
                "log": args.log or "simulated",
                "turns": TURNS,
                "lengths": [len(batch.groups) for _, batch in batches],
                "tokens": [sum(ids.numel() for ids in batch.groups) for _, batch in batches],
                "seeds": args.seeds,
                "repetitions": args.repetitions,
                "precision": args.precision,
                "torch": str(torch.__version__),
                "time_over_ours": {
                    name: {"median": round(median(x), 2), "low": round(min(x), 2), "high": round(max(x), 2)}
                    for name, x in ratios.items()
                },
            },
            indent=1,
        )
    )


def offline() -> tuple[TurnEncoder, Tokenizer]:
    """The offline encoder as a model trains it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder"
        write_offline_encoder(path)
        made: Any = load_encoder(str(path), attention_dropout=0.0)
        tokenizer = Tokenizer(load_tokenizer(str(path)), ModelOptions().max_tokens)
    return TurnEncoder(made, made.config.hidden_size, frozen=False).train(), tokenizer


def drawn(log: Sequence[Dialogue] | None, seed: int) -> Iterator[Dialogue]:
    return simulate(TURNS, seed) if log is None else iter(Random(seed).sample(log, min(TURNS, len(log))))


def passages(tokenizer: Tokenizer, dialogues: Iterator[Dialogue]) -> Passages:
    """The texts of the first TURNS turns; which turn each belongs to, nobody asks here."""
    turns = list(chain.from_iterable(d.turns for d in dialogues))[:TURNS]
    found = group_passages(tokenizer([t.request for t in turns]), tokenizer([t.response for t in turns]))
    return replace(found, groups=tuple(ids for ids in found.groups if ids.numel() >= LEAST_TOKENS))


def compared(encoder: TurnEncoder, batch: Passages, repetitions: int, seed: int, mixed: bool) -> dict[str, list[float]]:
    """The peers' times over ours, one of each repetition; the order within one is drawn."""
    forms: dict[str, AbstractContextManager[None]]
    ratios: dict[str, list[float]] = {}
    rng = Random(seed)
    # The first round, which meets cold caches, is not counted.
    for repetition in range(repetitions + 1):
        forms = {
            "ours": nullcontext(),
            "a pass for each length": passes_apart(encoder),
            "torch's own attention": own_attention(),
            "a look-up for each length": look_ups_apart(encoder, batch),
        }
        times = {}
        for name in rng.sample(list(forms), len(forms)):
            with forms[name]:
                started = time.process_time()
                train(encoder, batch, mixed)
                times[name] = time.process_time() - started
        ours = times.pop("ours")
        for name, taken in times.items():
            if repetition:
                ratios.setdefault(name, []).append(taken / ours)
    return ratios


def train(encoder: TurnEncoder, batch: Passages, mixed: bool) -> None:
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        pooled, tokens = encoder(batch, with_tokens=True)
    assert tokens is not None
    (pooled.float().square().mean() + tokens.float().square().mean()).backward()


@contextmanager
def passes_apart(encoder: TurnEncoder) -> Iterator[None]:
    """A pass for each length, as architectures have it that cannot run packed."""
    encoder.encoder.set_attn_implementation("sdpa")
    yield
    encoder.encoder.set_attn_implementation(PACKED)


@contextmanager
def own_attention() -> Iterator[None]:
    """Packed, but with torch's own kernel in training as in labeling."""
    with patch("labelgen.kernels.packed.in_products", F.scaled_dot_product_attention):
        yield


@contextmanager
def look_ups_apart(encoder: TurnEncoder, batch: Passages) -> Iterator[None]:
    """Packed, but the ids of each length are looked up by themselves."""
    whole = encoder.encoder.get_input_embeddings()
    sizes = [ids.numel() for ids in batch.groups]
    encoder.encoder.get_input_embeddings = lambda: lambda ids: torch.cat([whole(part) for part in ids.split(sizes)])
    yield
    del encoder.encoder.get_input_embeddings


if __name__ == "__main__":
    main()
