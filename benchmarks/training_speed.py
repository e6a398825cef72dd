"""Speed of a training step: tokens a second and the share of the device's peak, next to the bare encoder and to transformers' Trainer.

All systems encode the requests and responses of a corpus: the distinct ones of each batch of dialogues, but for the last system. Their encoders have
equal sizes, random weights and no attention dropout. A rate counts tokens of texts.

    labelgen training                  the whole step of `labelgen finetune`: batches, encoder, dialogue encoder, goals, outcome, intents and slots,
                                       backward pass, clipping, AdamW; encoding the texts of labels anew, once in 50 batches, is added by its share
    labelgen encoder                   packed encoder, forward and backward, on the same batches
    bare encoder                       transformers' encoder, forward and backward, in one rectangle of texts of one length: no padding at all
    bare encoder, compiled             the same by torch.compile; on a GPU only, for on a CPU it is slower
    Trainer, batches of dialogues      transformers' Trainer with a classifier of texts on the same batches, which have dialogues of like length, padded to
                                       the longest text of a batch; the same optimizer
    Trainer, texts grouped by length   the same on single texts in the batches of its `group_by_length`, drawn from 50 batches' texts of the corpus. It
                                       learns no dialogues, whose texts would have to be together

The systems take turns in one process, in an order that is drawn anew in each round; the first round is not counted. The clock is CPU time of one
thread on a CPU, and wall time between synchronizations on a GPU. Ratios are of two rates of one round. Padding is the share of encoded tokens that
are none.

MFU (model FLOPs utilization) is tokens a second times FLOPs a token over the peak. FLOPs a token: 6 times the weights of the encoder's linear layers,
plus 12 x layers x width x length for attention, whose length is the mean of the text's length over tokens. Heads are not counted. The peak of
H100 and H200 is 989 TFLOP/s (dense, bf16); elsewhere it is the best measured rate of a product of two matrices of 2,048 x 2,048 in the same precision.
Source: Chowdhery et al. 2022, "PaLM", appendix B.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from statistics import fmean, median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from msgspec import structs
from torch import Tensor, nn

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import targets_of
from labelgen.data.log import Log
from labelgen.features.features import learn_features
from labelgen.features.layout import Batch
from labelgen.features.pretrained import load_encoder, load_tokenizer
from labelgen.model.batches import Example
from labelgen.model.build import assemble, make_tasks
from labelgen.model.label_model import REFRESH_STEPS
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions
from labelgen.training.fit import LastStep, make_trainer
from labelgen.training.loader import TrainingLoader
from labelgen.training.module import TrainingModule
from labelgen.training.options import DataOptions, FinetuneOptions, HardwareOptions
from labelgen.training.sampler import Sampler, word_count
from labelgen.training.tracking import Recorder

from .results import Result, ranged, versions

TASKS = {"goals": TaskOptions(2.0), "outcome": TaskOptions(), "intents": TaskOptions(), "slots": TaskOptions(10.0)}
SIZES: Mapping[str, Mapping[str, int]] = {
    "small": {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12},
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}
PEAKS = {"H100": 989e12, "H200": 989e12}
"""Dense bf16 FLOPs a second of a GPU, by a part of its name."""
MATRIX = 2_048
TRAINING, ENCODER = "labelgen training", "labelgen encoder"
BARE, COMPILED = "bare encoder", "bare encoder, compiled"
DIALOGUES, TEXTS = "Trainer, batches of dialogues", "Trainer, texts grouped by length"
PRODUCT = "matrix product"


@dataclass(frozen=True, slots=True)
class Pass:
    """One turn of a system. tokens: of texts. encoded: tokens that the encoder computed, padding included."""

    seconds: float
    tokens: int
    encoded: int


def measure(
    log: Sequence[Path],
    corpus: str,
    encoder: Sequence[Path],
    format: str = "labelgen",
    sizes: Sequence[str] = ("small", "base"),
    turns: int | None = None,
    steps: int = 3,
    rounds: int = 5,
    seed: int = 0,
) -> list[Result]:
    """Rates of all systems, for each size of encoder and bf16 on a GPU, fp32 elsewhere.

    Args:
        encoder: one folder, with the tokenizer and the encoder whose sizes are changed.
        turns: of a step; without a value 48 on a CPU and 2,048 on a GPU.
        steps: of one turn of a system."""

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    precision = "bf16" if device.type == "cuda" else "32"
    turns = turns or (2_048 if device.type == "cuda" else 48)
    source = Log(log, format)
    dialogues = list(islice((d for d in source if d.turns and d.annotations), 50 * turns // 6))
    rows: list[Result] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            bench = TrainingBench(
                dialogues, source.labels(), encoder[0], size, precision, device, turns, steps, Path(folder)
            )
            passes = bench.measured(rounds, seed)
            rows += _rows(bench, passes, {"corpus": corpus, "split": f"{size} encoder", "seed": str(seed)})
    return rows


class TrainingBench:
    """An encoder of one size in each system, and the batches that all of them encode."""

    def __init__(
        self,
        dialogues: Sequence[Dialogue],
        labels: Any,
        pretrained: Path,
        size: str,
        precision: str,
        device: torch.device,
        turns: int,
        steps: int,
        folder: Path,
    ) -> None:
        self.precision, self.device, self.folder, self.dialogues = precision, device, folder, dialogues
        self.tokenizer = load_tokenizer(str(pretrained))
        torch.manual_seed(0)
        small: Any = load_encoder(str(pretrained), attention_dropout=0.0)
        self.config = small.config
        self.config.update(dict(SIZES[size]))
        self._kind = type(small)
        options = ModelOptions(encoder=str(pretrained), max_tokens=64)
        self.model = assemble(
            options, make_tasks(TASKS, labels), learn_features(dialogues, ()), self._encoder(None), self.tokenizer, {}
        )
        self.model.train().to(device)
        self.sampler = Sampler(
            turns=np.array([len(d.turns) for d in dialogues]),
            words=np.array([word_count([x for t in d.turns for x in (t.request, t.response)]) for d in dialogues]),
            log=np.zeros(len(dialogues), dtype=np.int64),
            mix=(1.0,),
            batch_turns=turns,
            batch_words=10**9,
        )
        self.steps = min(steps, self.sampler.steps(0))
        collate = self.model.collator()
        parts = [part for step in range(self.steps) for part in self.sampler.parts(0, step)]
        self.batches = [collate([self.example(0, index) for index in part.indices]).to(device) for part in parts]
        self.texts = [row for batch in self.batches for ids in batch.passages.groups for row in ids.tolist()]
        self.tokens = sum(map(len, self.texts))
        self.bare: Any = self._encoder("sdpa")
        self.compiled: Any = torch.compile(self._encoder("sdpa")) if device.type == "cuda" else None
        of_dialogues = [[row for ids in b.passages.groups for row in ids.tolist()] for b in self.batches]
        self.trainers = {DIALOGUES: self._trainer(of_dialogues), TEXTS: self._trainer(self._grouped_texts())}

    corpus: Any = SimpleNamespace()

    def example(self, epoch: int, index: int) -> Example:
        """For the loader of the training."""
        return Example(self.dialogues[index], targets_of(self.dialogues[index].annotations[0]))

    def _encoder(self, attention: str | None) -> Any:
        made = self._kind(copy.deepcopy(self.config), add_pooling_layer=False)
        if attention is not None:
            made.set_attn_implementation(attention)
        return made.train().to(self.device)

    def measured(self, rounds: int, seed: int) -> dict[str, list[Pass]]:
        """Passes of each system, one a round."""
        works: dict[str, Callable[[], Pass]] = {
            TRAINING: self.training,
            ENCODER: self.packed,
            BARE: lambda: self.rectangle(self.bare),
            DIALOGUES: lambda: self.huggingface(DIALOGUES),
            TEXTS: lambda: self.huggingface(TEXTS),
            PRODUCT: self.product,
        }
        if self.compiled is not None:
            works[COMPILED] = lambda: self.rectangle(self.compiled)
        rng = Random(seed)
        passes: dict[str, list[Pass]] = {name: [] for name in works}
        for turn in range(rounds + 1):
            for name in rng.sample(list(works), len(works)):
                one = works[name]()
                if turn:
                    passes[name].append(one)
        return passes

    def training(self) -> Pass:
        """Steps of labelgen's training by its trainer."""
        hardware = HardwareOptions(accelerator=self.device.type, precision=self.precision)  # type: ignore[arg-type]
        options = FinetuneOptions(out=str(self.folder), data=DataOptions(train=()), tasks=TASKS, hardware=hardware)
        self.model.steps.fill_(1)
        self.model._passes = None
        module = TrainingModule(self.model, options.optimizer, self.steps, 0)
        recorder, clock = Recorder(None, 10, self.steps), FitClock(self.now)
        trainer = make_trainer(options, self.folder, [recorder, LastStep(self.steps), clock])
        cuda = self.device.type == "cuda"
        loader = TrainingLoader(
            self,
            self.model.collator(),
            self.sampler,
            lambda: trainer.global_step,
            lambda: 0,
            self.steps,
            4 * cuda,
            cuda,
        )
        trainer.fit(module, loader)
        loader.batches.close()
        self.model.to(self.device).train()
        refresh = self._timed(self.model.refresh_labels) * len(self.batches) / REFRESH_STEPS
        return Pass(clock.seconds + refresh, self.tokens, self.tokens)

    def packed(self) -> Pass:
        """Forward and backward pass of labelgen's encoder."""

        def work() -> None:
            for batch in self.batches:
                self._encode(batch)

        return Pass(self._timed(work), self.tokens, self.tokens)

    def _encode(self, batch: Batch) -> None:
        self.model.zero_grad()
        with self._autocast():
            pooled, tokens = self.model.turn_encoder(batch.passages, True)
        (pooled.float().square().mean() + tokens.float().square().mean()).backward()

    def rectangle(self, encoder: nn.Module) -> Pass:
        """Forward and backward pass over as many batches of texts that all have the mean length."""
        length = round(self.tokens / len(self.texts))
        count = round(self.tokens / len(self.batches) / length)
        ids = torch.randint(5, self.config.vocab_size, (count, length), device=self.device)

        def work() -> None:
            for _ in self.batches:
                encoder.zero_grad()
                with self._autocast():
                    states = encoder(input_ids=ids).last_hidden_state
                states.float().square().mean().backward()

        tokens = count * length * len(self.batches)
        return Pass(self._timed(work), tokens, tokens)

    def huggingface(self, name: str) -> Pass:
        """An epoch of transformers' Trainer."""
        trainer, padding, clock = self.trainers[name]
        padding.tokens = padding.encoded = 0
        trainer.train()
        return Pass(clock.seconds, padding.tokens, padding.encoded)

    def _grouped_texts(self) -> list[list[list[int]]]:
        """Batches of the sampler of `group_by_length`, as many texts each as a batch of dialogues has: two for each of these, evenly from
        those of the longest texts to those of the shortest."""
        from transformers.trainer_pt_utils import LengthGroupedSampler

        every = dict.fromkeys(x for d in self.dialogues for t in d.turns for x in (t.request, t.response))
        texts = [list(tokens.truncated) for tokens in self.model.tokenizer(list(every))]
        size = round(len(self.texts) / len(self.batches))
        order = list(LengthGroupedSampler(size, lengths=[len(ids) for ids in texts]))
        groups = [[texts[k] for k in order[start : start + size]] for start in range(0, len(order) - size + 1, size)]
        count = min(2 * len(self.batches), len(groups))
        groups.sort(key=lambda group: -sum(map(len, group)))
        return [groups[int((k + 0.5) * len(groups) / count)] for k in range(count)]

    def _trainer(self, batches: Sequence[Sequence[Sequence[int]]]) -> tuple[Any, "PaddingCollator", Any]:
        """Trainer over these batches in order, with its padding and its clock."""
        from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

        now = self.now

        class TrainerClock(TrainerCallback):  # type: ignore[misc]
            seconds = 0.0

            def on_train_begin(self, *_: Any, **__: Any) -> None:
                self.began = now()

            def on_train_end(self, *_: Any, **__: Any) -> None:
                self.seconds = now() - self.began

        cuda = self.device.type == "cuda"
        arguments = TrainingArguments(
            output_dir=str(self.folder / "trainer"),
            per_device_train_batch_size=1,
            num_train_epochs=1,
            learning_rate=2e-5,
            weight_decay=0.01,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            train_sampling_strategy="sequential",
            bf16=self.precision == "bf16",
            remove_unused_columns=False,
            use_cpu=not cuda,
            dataloader_pin_memory=cuda,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        data = [{"texts": list(batch)} for batch in batches]
        padding = PaddingCollator(self.tokenizer)
        clock = TrainerClock()
        trainer = Trainer(
            model=TextClassifier(self._encoder("sdpa"), self.config.hidden_size),
            args=arguments,
            data_collator=padding,
            train_dataset=data,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        return trainer, padding, clock

    def product(self) -> Pass:
        """Products of two square matrices; "tokens" are their FLOPs."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        a, b = (torch.randn(MATRIX, MATRIX, device=self.device).to(dtype) for _ in range(2))
        times = 4 if self.device.type == "cpu" else 64

        def work() -> None:
            for _ in range(times):
                torch.mm(a, b)

        flops = times * 2 * MATRIX**3
        return Pass(self._timed(work), flops, flops)

    def flops_per_token(self, rectangle: bool) -> float:
        """FLOPs of a token's forward and backward pass through the encoder."""
        linear = sum(m.weight.numel() for m in self.bare.modules() if isinstance(m, nn.Linear))
        lengths = [len(ids) for ids in self.texts]
        length = fmean(lengths) if rectangle else sum(n * n for n in lengths) / sum(lengths)
        attention: int = self.config.num_hidden_layers * self.config.hidden_size
        return 6.0 * linear + 12.0 * attention * length

    def peak(self, products: Sequence[Pass]) -> float:
        """FLOPs a second that the device can do at most."""
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else ""
        known = [flops for part, flops in PEAKS.items() if part in name]
        return known[0] if known else max(one.tokens / one.seconds for one in products)

    def now(self) -> float:
        """Seconds of the clock."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def _timed(self, work: Callable[[], object]) -> float:
        began = self.now()
        work()
        return self.now() - began

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            yield


class FitClock(pl.Callback):
    """Time of a training, from before its first batch to after its last step."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.began = self.seconds = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = self.now()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds = self.now() - self.began


class TextClassifier(nn.Module):
    """Encoder, mean of the states of real tokens, linear layer: what a Trainer is commonly given."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(width, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(states.dtype)
        scores = self.classifier((states * mask).sum(dim=1) / mask.sum(dim=1))
        return {"loss": nn.functional.cross_entropy(scores.float(), labels), "logits": scores}


class PaddingCollator:
    """Dynamic padding to the longest text of a batch. tokens, encoded: seen so far, without and with padding."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.tokens = self.encoded = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Tensor]:
        (row,) = rows
        padded: Any = self.tokenizer.pad({"input_ids": row["texts"]}, return_tensors="pt")
        self.tokens += int(padded["attention_mask"].sum())
        self.encoded += padded["input_ids"].numel()
        return {**padded, "labels": torch.arange(len(row["texts"])) % 2}


def _rows(bench: TrainingBench, passes: Mapping[str, Sequence[Pass]], cells: Mapping[str, Any]) -> list[Result]:
    rates = {name: [one.tokens / one.seconds for one in own] for name, own in passes.items() if name != PRODUCT}
    peak = bench.peak(passes[PRODUCT])
    setting = f"{bench.device.type}, {'fp32' if bench.precision == '32' else bench.precision}"
    fastest = max((name for name in (BARE, COMPILED) if name in rates), key=lambda name: median(rates[name]))
    rows: list[Result] = []

    def add(system: str, metric: str, values: Sequence[float], baseline: str = "") -> None:
        row = Result(metric=metric, system=system, baseline=baseline, setting=setting, **cells, **ranged(values))
        rows.append(structs.replace(row, versions=versions("torch", "transformers")))

    for name, own in rates.items():
        flops = bench.flops_per_token(name in (BARE, COMPILED))
        add(name, "tokens_per_second", own)
        add(name, "mfu", [rate * flops / peak for rate in own])
        add(name, "padding_share", [1 - one.tokens / one.encoded for one in passes[name]])
    for name in (TRAINING, ENCODER):
        for baseline in (fastest, DIALOGUES, TEXTS):
            ratios = [a / b for a, b in zip(rates[name], rates[baseline], strict=True)]
            add(name, "tokens_per_second_ratio", ratios, baseline)
    return rows
