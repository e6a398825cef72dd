"""labelgen pretrain and finetune."""

from collections.abc import Callable
from typing import Any

from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command
from labelgen.training.options import FinetuneOptions, PretrainOptions


def _train(name: str) -> Callable[[Any], None]:
    """The function that trains a model, and prints what became of the run."""

    def run(options: Any) -> None:
        from labelgen.training import run as training

        # Only the first process has something to say.
        if summary := getattr(training, name)(options):
            print_lines(*summary.split("\n"))

    return run


PRETRAIN = Command(
    PretrainOptions,
    _train("pretrain"),
    "--config demo --config pretrain --data.train train.jsonl --data.valid valid.jsonl --out runs/pretrained",
)
FINETUNE = Command(
    FinetuneOptions,
    _train("finetune"),
    "--config demo --data.train train.jsonl --data.valid valid.jsonl --out runs/first",
)
