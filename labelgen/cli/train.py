"""labelgen pretrain and finetune."""

from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command
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
