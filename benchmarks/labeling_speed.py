"""Labeling speed next to other ways to encode a log: ratios of CPU time on one core.

All systems take the same texts (every request and response of the first dialogues of a log) through the same encoder, tokenizing included.
`labelgen label` reads the log, labels all tasks of the model and writes the labeled log; the model is loaded before. The systems take
turns in one process on one thread, in an order that is drawn anew in each round; the first round is not counted. A rate is the median
time of the transformers pipeline in fp32 over the system's, with the smallest and largest of the rounds. sentence-transformers and int8
are left out if their libraries are missing, bf16 if the CPU has none. `size: base` puts random weights of RoBERTa-base's size under the model.
"""

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
from msgspec import structs

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.features.pretrained import load_encoder, load_tokenizer
from labelgen.features.text import Tokenizer
from labelgen.kernels.prepared import TOKENS, PreparedEncoder
from labelgen.kernels.processor import choose_instruction_set, has_bf16
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.model.annotator import Annotator
from labelgen.model.build import assemble, take_over
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel

from .results import Result, ranged, versions

MAX_TOKENS = 64
BUDGET = 1_024
"""Tokens of a padded batch, in the row that is named after it."""
PRECISIONS = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if has_bf16("cpu") else {})
if find_spec("onnx") and find_spec("onnxruntime"):
    PRECISIONS["int8"] = torch.int8
FIRST = "transformers pipeline"
LABEL = "labelgen label"
PRODUCTS = "matrix products"

Work = Callable[[], object]


def measure(
    log: Sequence[Path],
    model: Sequence[Path],
    corpus: str,
    split: str,
    size: str = "small",
    tokens: int = 16_000,
    rounds: int = 5,
    seed: int = 0,
) -> list[Result]:
    """Rates of all systems. split: what the rows say of CPU and encoder."""
    choose_instruction_set()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        bench = Bench(log[0], model[0], size, tokens, Path(folder))
        times = bench.measured(rounds, seed)
    rows = []
    for (system, precision), seconds in times.items():
        products = median(times[PRODUCTS, precision]) / median(seconds) if (PRODUCTS, precision) in times else None
        cells = {"relative_rate": ranged([median(times[FIRST, "fp32"]) / one for one in seconds])}
        if products is not None:
            cells["share_of_matmul_rate"] = {"value": round(products, 2)}
        if system == LABEL:
            turns = sum(len(d.turns) for d in bench.dialogues)
            cells["turns_per_cpu_second"] = {"value": round(turns / median(seconds), 1)}
        for metric, cell in cells.items():
            row = Result(corpus=corpus, split=split, system=system, setting=precision, metric=metric, **cell)
            rows.append(structs.replace(row, seed=str(seed), versions=versions("torch")))
    return rows


class Bench:
    """One encoder in both precisions, the texts, and each way to encode them."""

    def __init__(self, log: Path, model: Path, size: str, tokens: int, folder: Path) -> None:
        self.folder = folder
        self.encoder = folder / "encoder"
        self.annotators: dict[str, Annotator] = {}
        trained = load_model(model)
        trained.turn_encoder.encoder.save_pretrained(self.encoder)
        load_tokenizer(str(model / "tokenizer")).save_pretrained(self.encoder)
        if size == "base":
            _enlarge(self.encoder)
            model = _on_encoder(trained, self.encoder, folder / "model")
        for name in PRECISIONS:
            self.annotators[name] = Annotator(model, precision=name.removeprefix("fp"))
        self.tokenizer = load_tokenizer(str(self.encoder))
        self.dialogues: list[Dialogue] = []
        self.tokens = 0
        for dialogue in Log([log]):
            if self.tokens >= tokens:
                break
            self.dialogues.append(dialogue)
            self.tokens += sum(len(t.ids) for t in Tokenizer(self.tokenizer, MAX_TOKENS)(_texts([dialogue])))
        self.texts = _texts(self.dialogues)
        self.source = folder / "log.jsonl"
        write_log(self.source, self.dialogues)
        self._runs = count()

    def measured(self, rounds: int, seed: int) -> dict[tuple[str, str], list[float]]:
        """CPU seconds of each system and precision in each round."""
        work = {(row, name): one for name in PRECISIONS for row, one in self._works(name)}
        rng = Random(seed)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in work}
        for turn in range(rounds + 1):
            for key in rng.sample(list(work), len(work)):
                began = time.process_time()
                work[key]()
                if turn:
                    times[key].append(time.process_time() - began)
        return times

    def _works(self, name: str) -> Iterator[tuple[str, Work]]:
        precision = PRECISIONS[name]
        plain: Any = load_encoder(str(self.encoder)).eval()
        prepared = PreparedEncoder(plain, precision)
        works: list[tuple[str, Work]] = [
            ("labelgen encoder", lambda: [states.mean(dim=1) for states in prepared(self._groups(None))])
        ]
        if name in self.annotators:
            works.append((LABEL, lambda: self._label(name, precision)))
        if name == "int8":
            yield from works
            return
        plain = plain.to(precision)
        plain.set_attn_implementation("sdpa")
        yield FIRST, self._pipeline(precision)
        if find_spec("sentence_transformers"):
            yield "sentence-transformers", self._sentence_transformers(precision)
        yield "sorted padded batches", lambda: self._padded(plain)
        yield (
            "encoder without padding",
            lambda: [plain(ids).last_hidden_state.mean(dim=1) for ids in self._groups()],
        )
        yield from works
        yield PRODUCTS, self._products(plain.config, precision)

    def _groups(self, budget: int | None = BUDGET) -> list[torch.Tensor]:
        """Every text, those of one length together, at most `budget` tokens at once."""
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for tokens in Tokenizer(self.tokenizer, MAX_TOKENS)(self.texts):
            by_length.setdefault(len(tokens.ids), []).append(tokens.ids)
        groups = [torch.tensor(by_length[length]) for length in sorted(by_length)]
        return [part for ids in groups for part in torch.split(ids, max(1, (budget or ids.numel()) // ids.shape[1]))]

    def _padded(self, encoder: Any) -> None:
        rest = sorted(Tokenizer(self.tokenizer, MAX_TOKENS)(self.texts), key=lambda tokens: len(tokens.ids))
        while rest:
            size = max(k for k in range(1, len(rest) + 1) if k * len(rest[k - 1].ids) <= BUDGET or k == 1)
            batch, rest = rest[:size], rest[size:]
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
