"""A test of batch invariance: whether a model's labels for a dialogue depend on the other dialogues in the call.

It runs on this machine, because the result depends on the CPU and the libraries (docs/explanation/decisions.md)."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import torch

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import ANY_SOURCE, LabelName, Sources
from labelgen.features.features import FeatureSet
from labelgen.features.pretrained import encoder_from_config, word_tokenizer
from labelgen.model.annotate import annotate, one_thread
from labelgen.model.build import assemble, make_tasks
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.embedding_cache import TokenStateCache
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions

_WORDS = [
    "yes",
    "no",
    "please",
    "play",
    "stop",
    "the",
    "red",
    "blue",
    "lamp",
    "timer",
    "for",
    "ten",
    "minutes",
    "rain",
    "in",
    "paris",
    "add",
    "milk",
    "to",
    "my",
    "list",
]
_TURNS = (1, 2, 2, 2, 3, 3, 7)
_MAX_WORDS = 7
_WIDTH = 384
_ENCODER = {
    "model_type": "roberta",
    "vocab_size": 64,
    "hidden_size": _WIDTH,
    "intermediate_size": 1536,
    "num_attention_heads": 12,
    "num_hidden_layers": 1,
}
"""As wide as the small encoder."""
_LABELS: Sources = {ANY_SOURCE: {task: tuple(LabelName(f"{word} {task}") for word in _WORDS) for task in TASKS}}


def is_batch_invariant(
    model: LabelModel, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext, online: bool = False
) -> bool:
    """Whether some artificial dialogues get bitwise identical labels and probabilities together, alone and in another order.

    The model is ready for labeling; its caches are empty afterwards."""
    dialogues = list(_dialogues(_known_source(model)))

    def labels(some: list[Dialogue]) -> list[Any]:
        model.turn_encoder.state_cache = TokenStateCache()
        result = annotate(model, some, autocast=autocast(), online=online)
        model.turn_encoder.state_cache = TokenStateCache()
        return result

    backwards = labels(dialogues[:0:-1])[::-1]
    return labels(dialogues) == [*labels(dialogues[:1]), *backwards]


def is_random_model_batch_invariant() -> bool:
    """The same test for a model of all tasks with random weights, in float32."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(_ENCODER), encoding="utf-8")
        tasks = make_tasks({name: TaskOptions() for name in TASKS}, _LABELS)
        options = ModelOptions(dialogue_width=_WIDTH, encoder_frozen=True)
        encoder = encoder_from_config(config)
        model = assemble(options, tasks, FeatureSet(), encoder, word_tokenizer(_WORDS), {}).eval()
        # New blocks of the dialogue encoder and new labels have zero weights, which would hide differences.
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.05)
        model.refresh_labels()
        model.turn_encoder.prepare(torch.float32)
        return is_batch_invariant(model)


def _dialogues(source: str | None) -> Iterator[Dialogue]:
    rng = Random(0)

    def text() -> str:
        return " ".join(rng.choices(_WORDS, k=rng.randint(1, _MAX_WORDS)))

    for k, turns in enumerate(_TURNS):
        yield Dialogue(
            id=str(k), source=source, turns=tuple(Turn(request=text(), response=text()) for _ in range(turns))
        )


def _known_source(model: LabelModel) -> str | None:
    """A source whose records the model can label."""
    for source in (None, *sorted({s for task in model.tasks.values() for s in task.labels.sources})):
        try:
            for task in model.tasks.values():
                task.labels.of_source(source)
        except UsageError:
            continue
        return source
    return None
