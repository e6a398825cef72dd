"""Trainings within this process, and what their models say: those that share a frozen encoder share what it said of each text.

Used by scripts/train_label_curves.py and scripts/train_ablations.py."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TypeVar

import torch
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, NoLabel
from labelgen.data.quarantine import Quarantine
from labelgen.data.split import position
from labelgen.model.annotate import annotate
from labelgen.model.build import build_model, take_over
from labelgen.model.folder import load_model
from labelgen.model.label_model import LabelModel
from labelgen.nn.embedding_cache import EmbeddingCache
from labelgen.training.corpus import (
    AnnotatedExamples,
    ChosenTargets,
    Corpus,
    CorruptedExamples,
    Examples,
    Prepare,
    without_labels,
)
from labelgen.training.fit import fit
from labelgen.training.options import FinetuneOptions, PretrainOptions

SAID = "model"
"""Who signs what a model says."""
CONFIGS = ("configs/public_cpu.yaml", "configs/label_curves.yaml")
MEMORY_BYTES = 4 * 2**30
"""Most of what is kept of texts, for each encoding of them."""

One = TypeVar("One")


def trained(options: FinetuneOptions | PretrainOptions, memory: EmbeddingCache) -> LabelModel:
    """The model of the options, after its training. memory: of the encoder that it begins with; used where that is frozen.

    Raises what the commands raise for logs and options that cannot be trained with."""
    folder = Path(options.out)
    prepare: Prepare = without_labels
    if isinstance(options, FinetuneOptions):
        prepare = ChosenTargets(options.targets, options.tasks)
    with (
        closing(Quarantine(folder / "bad.jsonl")) as bad,
        closing(Corpus(options.data.train, options.data.format, 0.0, prepare, "", bad)) as corpus,
    ):
        torch.manual_seed(options.seed)
        model = build_model(options.model, options.tasks, corpus.labels, corpus)
        if options.init is not None:
            take_over(model, load_model(Path(options.init)))
        model.turn_encoder.embedding_cache = memory if options.model.encoder_frozen else None
        examples: Examples = AnnotatedExamples(corpus, 0.0, options.seed)
        if isinstance(options, PretrainOptions):
            examples = CorruptedExamples(corpus, options.mixture, options.pool, options.seed)
        return fit(options, model, examples, None, folder, ()).model.eval()


def signed(model: LabelModel, dialogues: Sequence[Dialogue], against: str, online: bool = False) -> list[Dialogue]:
    """The dialogues with what the model says of them; outcomes of the goals that `against` drew. online: of turns without later ones."""
    said = annotate(model, dialogues, against, online=online)
    return [
        replace(
            dialogue,
            annotations=(
                *dialogue.annotations,
                Annotation(
                    SAID,
                    "model",
                    labels=tuple(label for one in answers for label in one.labels),
                    none=tuple(
                        NoLabel(field.task, field.at, p)
                        for one in answers
                        for field, p in zip(one.none, one.none_probabilities, strict=True)
                    ),
                ),
            ),
        )
        for dialogue, answers in zip(dialogues, said, strict=True)
    ]


def first_by_hash(dialogues: Sequence[Dialogue], seed: int) -> list[Dialogue]:
    """In an order that depends on ids and seed alone."""
    return sorted(dialogues, key=lambda d: (position(seed, f"label curve {d.id}"), d.id))


def has_failed(dialogue: Dialogue, annotator: str) -> bool:
    """Whether a goal of the dialogue failed."""
    annotation = dialogue.annotation(annotator)
    return annotation is not None and any((x.task, x.name) == ("outcome", "failure") for x in annotation.labels)


def make_all(asked: int, left: Sequence[One], minutes: float, make: Callable[[One], str]) -> None:
    """Make what is left of the trainings that were asked for, beginning none after so many minutes, and tell of each. make: gives
    a training's name back."""
    began, made = monotonic(), 0
    for one in left:
        now = monotonic()
        if now - began >= 60 * minutes:
            break
        print(f"{make(one)}: {monotonic() - now:.0f} s", flush=True)
        made += 1
    more = len(left) - made
    print(f"{more} of {asked} trainings are left" if more else f"all {asked} trainings are made")


def split_words(argv: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """What stands before `--` and is the script's own, and what stands behind it, for every training."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    return words[:cut], words[cut + 1 :]
