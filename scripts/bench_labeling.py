"""How fast a text becomes a vector, and a log labels, beside other ways to do it: ratios of CPU time on one core.

    python scripts/bench_labeling.py runs/public/sgd-dev/sgd-dev.jsonl --model runs/public/sgd-context/model
    python scripts/bench_labeling.py runs/public/sgd-dev/sgd-dev.jsonl --model runs/public/sgd-context/model --size base \
        --tokens 4000

All rows take the same texts (every request and response of the first dialogues of the log, in file order) through the same
encoder, from text to vector, tokenizing included. `labelgen label` reads the log, labels all tasks of the model and writes
the labeled log; only the model is loaded before. The rows take turns in one process on one thread, in an order that is
drawn anew in each round, and the first round is not counted: other work on the machine then touches all of them alike. A
row's figure is the first row's median time over its own, the least and greatest of the rounds beside it.
Sentence-transformers is left out where it is
not installed (pip install -e '.[peers]'), bf16 where the CPU has none, int8 where ONNX Runtime is not installed. Base has the tasks, labels and heads of the model, on an encoder of random weights:
they take the same time, but what it says is of no worth, so its changed labels are not told."""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from command import write_table

from labelgen import __version__
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import Log, write_log
from labelgen.features.pretrained import load_encoder, load_tokenizer, write_offline_encoder
from labelgen.features.text import Tokenizer
from labelgen.kernels.prepared import TOKENS, PreparedEncoder
from labelgen.kernels.processor import choose_instruction_set, has_bf16
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.model.annotator import Annotator
from labelgen.model.build import assemble, take_over
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel

MAX_TOKENS = 64
BUDGET = 1_024
"""Tokens of a padded batch, in the row that is named after it."""
PRECISIONS = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if has_bf16("cpu") else {})
if find_spec("onnx") and find_spec("onnxruntime"):
    PRECISIONS["int8"] = torch.int8
FIRST = "transformers' pipeline, batches of 32"
LABEL = "`labelgen label`, files and all tasks"
PRODUCTS = "matrix products alone"

Work = Callable[[], object]


def main(argv: Sequence[str] | None = None) -> int:
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("log", help="file of records")
    to.add_argument("--model", type=Path, help="model folder, whose encoder is used too (default: no `labelgen label`)")
    to.add_argument("--size", choices=("small", "base"), default="small", help="of the encoder (default %(default)s)")
    to.add_argument("--tokens", type=int, default=16_000, help="of the log, about (default %(default)s)")
    to.add_argument("--rounds", type=int, default=5, help="that are counted (default %(default)s)")
    to.add_argument(
        "--rows", nargs="+", metavar="WORD", help="only rows with one of these words in their names, and first and last"
    )
    to.add_argument("--seed", type=int, default=0, help="of the order of rows (default %(default)s)")
    to.add_argument("--out", type=Path, metavar="OUT", help="write the table here, as results/ has it")
    to.add_argument("--order", type=int, default=30, help="of the table among the others (default %(default)s)")
    args = to.parse_args(argv)
    choose_instruction_set()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        bench = Bench(args, Path(folder))
        times = bench.measured(args.rounds, args.seed, args.rows)
        table = {
            "order": args.order,
            "title": _title(args),
            "command": _command(args),
            "versions": {"labelgen": __version__, "python": platform.python_version(), "torch": str(torch.__version__)},
            "columns": ["from text to vectors, one core"]
            + [
                word
                for name in PRECISIONS
                for word in (name, "of the products" + (" in bf16" if name == "bf16" else ""))
                if word == name or name != "int8"
            ],
            "rows": list(_rows(times)),
            "text": "Rates as multiples of the first row in fp32, least and greatest of the rounds in brackets; "
            "`scripts/bench_labeling.py --help` says how.",
            "data": bench.told(args.rounds),
            "unit": "core",
            "turns_a_s": bench.rates(times),
        }
    print(json.dumps(table, indent=1))
    write_table(args.out, table)
    return 0


class Bench:
    """One encoder in both precisions, the texts, and each way to encode them."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.encoder = folder / "encoder"
        self.annotators = {}
        if args.model:
            trained = load_model(args.model)
            trained.turn_encoder.encoder.save_pretrained(self.encoder)
            load_tokenizer(str(args.model / "tokenizer")).save_pretrained(self.encoder)
        else:
            write_offline_encoder(self.encoder)
        self.base = args.size == "base"
        if self.base:
            _enlarge(self.encoder)
        if args.model:
            own = _on_encoder(trained, self.encoder, folder / "model") if self.base else args.model
            for name in PRECISIONS:
                self.annotators[name] = Annotator(own, precision=name.removeprefix("fp"))
        self.tokenizer = load_tokenizer(str(self.encoder))
        self.dialogues: list[Dialogue] = []
        self.tokens = 0
        for dialogue in Log([args.log]):
            if self.tokens >= args.tokens:
                break
            self.dialogues.append(dialogue)
            self.tokens += sum(len(t.ids) for t in Tokenizer(self.tokenizer, MAX_TOKENS)(_texts([dialogue])))
        self.texts = _texts(self.dialogues)
        self.source = folder / "log.jsonl"
        write_log(self.source, self.dialogues)
        self.said: dict[str, list[Annotation]] = {}
        self.vectors: dict[str, torch.Tensor] = {}
        self.encoded_tokens = 0
        self._runs = count()

    def measured(self, rounds: int, seed: int, rows: Sequence[str] | None) -> dict[tuple[str, str], list[float]]:
        """Seconds of CPU of each row and precision, one of each round; of all rows, or those with one of the words."""
        work = {
            (row, name): one
            for name in PRECISIONS
            for row, one in self._works(name)
            if rows is None or row in (FIRST, PRODUCTS) or any(word in row for word in rows)
        }
        rng = Random(seed)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in work}
        for turn in range(rounds + 1):
            for key in rng.sample(list(work), len(work)):
                began = time.process_time()
                work[key]()
                if turn:
                    times[key].append(time.process_time() - began)
                print(f"round {turn} of {rounds}: {key[0]}, {key[1]}", file=sys.stderr, flush=True)
        return times

    def rates(self, times: dict[tuple[str, str], list[float]]) -> dict[str, float]:
        """Turns a second of CPU of `labelgen label`, by precision; nothing without a model."""
        turns = sum(len(d.turns) for d in self.dialogues)
        return {name: round(turns / median(own), 1) for (row, name), own in times.items() if row == LABEL}

    def told(self, rounds: int) -> str:
        turns = sum(len(d.turns) for d in self.dialogues)
        words = [f"{len(self.dialogues):,} dialogues, {turns:,} turns, {self.tokens:,} tokens; {rounds} rounds."]
        if self.said:
            words.append(f"`labelgen label` encoded {self.encoded_tokens / self.tokens:.3f} of the log's tokens.")
        if not self.base:
            words += [
                f"{_changed(self.said['fp32'], said):.2%} of its labels were others in {name}."
                for name, said in self.said.items()
                if name != "fp32"
            ]
        exact = self.vectors.get("fp32")
        for name, vectors in self.vectors.items():
            if exact is not None and name != "fp32":
                alike = torch.cosine_similarity(exact.float(), vectors.float())
                words.append(
                    f"Cosine of the texts' vectors with fp32's in {name}: mean {alike.mean():.4f}, least {alike.min():.4f}."
                )
        return " ".join(words)

    def _works(self, name: str) -> Iterator[tuple[str, Work]]:
        precision = PRECISIONS[name]
        plain: Any = load_encoder(str(self.encoder)).eval()
        prepared = PreparedEncoder(plain, precision)
        own: list[tuple[str, Work]] = [("labelgen's encoder", lambda: self._prepared(name, prepared))]
        if name in self.annotators:
            own.append((LABEL, lambda: self._label(name, precision)))
        if name == "int8":
            yield from own
            return
        plain = plain.to(precision)
        plain.set_attn_implementation("sdpa")
        yield FIRST, self._pipeline(precision)
        if find_spec("sentence_transformers"):
            yield "sentence-transformers, the whole list", self._sentence_transformers(precision)
        yield f"sorted, padded batches of {BUDGET:,} tokens", lambda: self._padded(plain)
        yield (
            "the bare encoder, no padding",
            lambda: [plain(ids).last_hidden_state.mean(dim=1) for ids in self._groups()],
        )
        yield from own
        yield PRODUCTS, self._products(plain.config, precision)

    def _groups(self, budget: int | None = BUDGET) -> list[torch.Tensor]:
        """Every text, those of one length together, at most `budget` tokens at once."""
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for tokens in Tokenizer(self.tokenizer, MAX_TOKENS)(self.texts):
            by_length.setdefault(len(tokens.ids), []).append(tokens.ids)
        groups = [torch.tensor(by_length[length]) for length in sorted(by_length)]
        return [part for ids in groups for part in torch.split(ids, max(1, (budget or ids.numel()) // ids.shape[1]))]

    def _prepared(self, name: str, encoder: PreparedEncoder) -> None:
        self.vectors[name] = torch.cat([states.mean(dim=1) for states in encoder(self._groups(None))])

    def _padded(self, encoder: Any) -> None:
        found = sorted(Tokenizer(self.tokenizer, MAX_TOKENS)(self.texts), key=lambda tokens: len(tokens.ids))
        while found:
            size = max(k for k in range(1, len(found) + 1) if k * len(found[k - 1].ids) <= BUDGET or k == 1)
            batch, found = found[:size], found[size:]
            padded = self.tokenizer.pad({"input_ids": [list(tokens.ids) for tokens in batch]}, return_tensors="pt")
            states = encoder(**padded).last_hidden_state
            mask = padded["attention_mask"][..., None].to(states.dtype)
            (states * mask).sum(dim=1) / mask.sum(dim=1)

    def _pipeline(self, precision: torch.dtype) -> Work:
        from transformers import pipeline

        cut = {"truncation": True, "max_length": MAX_TOKENS}
        made: Any = pipeline(
            "feature-extraction", str(self.encoder), dtype=precision, device="cpu", tokenize_kwargs=cut
        )
        return lambda: [x.mean(dim=1) for x in made(self.texts, batch_size=32, return_tensors=True)]

    def _sentence_transformers(self, precision: torch.dtype) -> Work:
        from sentence_transformers import SentenceTransformer

        made = SentenceTransformer(str(self.encoder), device="cpu", model_kwargs={"dtype": precision})
        made.max_seq_length = MAX_TOKENS
        return lambda: made.encode(self.texts, batch_size=32, convert_to_tensor=True, show_progress_bar=False)

    def _products(self, config: Any, precision: torch.dtype) -> Work:
        """The matrix products of all layers, and nothing else, over as many rows as the log has tokens."""
        d, wide = config.hidden_size, config.intermediate_size
        made = [
            (torch.randn(TOKENS, a).to(precision), torch.randn(a, b).to(precision), torch.randn(b).to(precision))
            for a, b in ((d, 3 * d), (d, d), (d, wide), (wide, d))
        ]
        sizes = [min(TOKENS, self.tokens - start) for start in range(0, self.tokens, TOKENS)]

        def work() -> None:
            for size in sizes * config.num_hidden_layers:
                for rows, weight, bias in made:
                    torch.addmm(bias, rows[:size], weight)

        return work

    def _label(self, name: str, precision: torch.dtype) -> None:
        annotator = self.annotators[name]
        model = annotator.model
        # Nothing is remembered from the round before.
        annotator.collator.tokenizer = Tokenizer(self.tokenizer, MAX_TOKENS)
        model.turn_encoder.prepare(precision)
        out = self.folder / f"labeled-{next(self._runs)}"
        label(self.source, out, InlineEngine(lambda: annotator), annotator.name, {})
        self.encoded_tokens = model.turn_encoder.state_cache.encoded_tokens
        self.said[name] = [dialogue.annotations[-1] for dialogue in Log([str(out)])]


def _enlarge(folder: Path) -> None:
    """Put an encoder of RoBERTa-base's size, with random weights, in the place of the small one; the tokenizer stays."""
    small: Any = load_encoder(str(folder))
    small.config.update(
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    )
    torch.manual_seed(0)
    type(small)(small.config, add_pooling_layer=False).save_pretrained(folder)


def _on_encoder(trained: LabelModel, encoder: Path, folder: Path) -> Path:
    """The model with another encoder in the place of its own, saved; what fits of its other weights is kept."""
    torch.manual_seed(0)
    tasks, features = trained.tasks, trained.features
    tokenizer = trained.tokenizer.tokenizer
    model = assemble(trained.options, tasks, features, load_encoder(str(encoder)), tokenizer, {})
    take_over(model, trained)
    save_model(model.eval(), folder, {})
    return folder


def _texts(dialogues: Sequence[Dialogue]) -> list[str]:
    return [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.request, turn.response)]


def _changed(one: Sequence[Annotation], other: Sequence[Annotation]) -> float:
    """Share of the labels of two annotators that only one of them gives; a label is its task, place and name."""
    first, second = (
        {(k, label.task, label.at, label.name) for k, said in enumerate(some) for label in said.labels}
        for some in (one, other)
    )
    return len(first ^ second) / max(1, len(first) + len(second))


def _rows(times: dict[tuple[str, str], list[float]]) -> Iterator[list[Any]]:
    first = median(times[FIRST, "fp32"])
    for row in dict.fromkeys(row for row, _ in times):
        cells: list[Any] = [row]
        for name in PRECISIONS:
            own = times.get((row, name))
            if own is None:
                cells.append(None)
                continue
            rates = {"value": first / median(own), "low": first / max(own), "high": first / min(own)}
            cells.append({key: round(rate, 3) for key, rate in rates.items()})
            if (PRODUCTS, name) in times:
                cells.append(f"{median(times[PRODUCTS, name]) / median(own):.0%}")
        yield cells


def _title(args: argparse.Namespace) -> str:
    kind = "" if "bf16" in PRECISIONS else f", {torch.backends.cpu.get_cpu_capability()} without bf16"
    return f"Speed of labeling, {args.size} encoder{kind}" + (f": {', '.join(args.rows)}" if args.rows else "")


def _command(args: argparse.Namespace) -> str:
    words = ["python scripts/bench_labeling.py", args.log]
    words += ["--model", str(args.model)] if args.model else []
    words += ["--rows", *args.rows] if args.rows else []
    words += ["--size", args.size] if args.size != "small" else []
    words += ["--out", str(args.out)] if args.out else []
    words += ["--order", str(args.order)] if args.order != 30 else []
    return " ".join((*words, f"--tokens {args.tokens} --rounds {args.rounds} --seed {args.seed}"))


if __name__ == "__main__":
    sys.exit(main())
