"""Labeling speed on one core or one GPU: time of sorted padded batches by transformers, over that of the encoder and of `labelgen label`.
The reference has the first precision. On a CPU it is CPU time, on a GPU wall time.

The reference takes the distinct texts of each shard, tokenizing included, so a text that repeats in a shard is no advantage. `labelgen
label` reads the log, labels all tasks of the model and writes the labeled log; the model is loaded before. All work takes turns in one
process on one thread, in an order that is drawn anew in each round; the first round is not counted."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from msgspec import structs
from torch.nn.utils.rnn import pad_sequence

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.features.layout import _mapped
from labelgen.features.text import WINDOWS, Tokenizer, group_passages
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import SHARD_DIALOGUES, label
from labelgen.model.annotator import Annotator
from labelgen.model.folder import load_model
from labelgen.nn.turn_encoder import BATCH_TOKENS

from .results import Result, ranged, versions

REFERENCE = "sorted padded batches"


def measure(
    log: Sequence[Path],
    model: Sequence[Path],
    corpus: str,
    split: str,
    precisions: Sequence[str] = ("32", "onnx", "int8"),
    dialogues: int = 512,
    rounds: int = 5,
    seed: int = 0,
    device: str = "cpu",
) -> list[Result]:
    """Relative rates of the encoder and of `labelgen label` in each precision."""

    def now() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    torch.set_num_threads(1)
    taken = list(islice((d for d in Log(log) if d.turns), dialogues))
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        work = dict(_works(taken, model[0], precisions, Path(folder), device))
        rng = Random(seed)
        for turn in range(rounds + 1):
            for key in rng.sample(list(work), len(work)):
                began = now()
                work[key]()
                if turn:
                    times.setdefault(key, []).append(now() - began)
    reference = next(median(seconds) for (system, _), seconds in times.items() if system == REFERENCE)
    rows = []
    for (system, precision), seconds in times.items():
        cells = {"relative_rate": ranged([reference / one for one in seconds])}
        if system == "labelgen label":
            turns = sum(len(d.turns) for d in taken)
            cells["turns_per_second"] = {"value": round(turns / median(seconds), 1)}
        for metric, cell in cells.items():
            row = Result(
                corpus=corpus, split=split, system=system, setting=f"{precision}, {device}", metric=metric, **cell
            )
            rows.append(structs.replace(row, seed=str(seed), versions=versions("torch")))
    return rows


def _works(
    dialogues: Sequence[Dialogue], model: Path, precisions: Sequence[str], folder: Path, device: str
) -> Iterator[tuple[tuple[str, str], Callable[[], object]]]:
    """Work by system and precision."""
    loaded = load_model(model).to(device)
    annotators = {precision: Annotator(model, precision=precision, device=device) for precision in precisions}
    plain: Any = loaded.turn_encoder.encoder
    plain.set_attn_implementation("sdpa")
    shards = [
        [text for dialogue in shard for turn in dialogue.turns for text in (turn.request, turn.response)]
        for shard in (dialogues[start : start + SHARD_DIALOGUES] for start in range(0, len(dialogues), SHARD_DIALOGUES))
    ]
    source, runs = folder / "log.jsonl", count()
    write_log(source, dialogues)

    def tokenizer() -> Tokenizer:
        return Tokenizer(loaded.tokenizer.tokenizer, loaded.options.max_tokens, WINDOWS)

    def reference() -> None:
        for texts in shards:
            passages = {ids: None for tokens in tokenizer()(texts) for ids in tokens.windows}
            rest = sorted(passages, key=len)
            while rest:
                size = max(k for k in range(1, len(rest) + 1) if k * len(rest[k - 1]) <= BATCH_TOKENS or k == 1)
                batch, rest = [torch.tensor(ids) for ids in rest[:size]], rest[size:]
                padded = pad_sequence(batch, batch_first=True, padding_value=plain.config.pad_token_id).to(device)
                mask = pad_sequence([torch.ones_like(ids) for ids in batch], batch_first=True).to(device)
                with annotators[precisions[0]]._autocast():
                    states = plain(input_ids=padded, attention_mask=mask).last_hidden_state
                (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    yield (REFERENCE, precisions[0]), reference
    for precision, annotator in annotators.items():

        def encode(annotator: Annotator = annotator) -> None:
            with annotator._autocast():
                for texts in shards:
                    passages = _mapped(group_passages(tokenizer()(texts), []), lambda ids: ids.to(device))
                    annotator.model.turn_encoder(passages, with_tokens=False)

        def run(annotator: Annotator = annotator) -> None:
            annotator.collator.tokenizer = tokenizer()
            label(source, folder / f"labeled-{next(runs)}", InlineEngine(lambda: annotator), annotator.name, {})

        yield ("labelgen encoder", precision), encode
        yield ("labelgen label", precision), run
