"""labelgen finetune: train a model towards annotations and feedback."""

from collections.abc import Sequence

from labelgen.base.printable import print_lines


def main(argv: Sequence[str]) -> int:
    from labelgen.training.config import parse
    from labelgen.training.options import FinetuneOptions

    options = parse(
        FinetuneOptions,
        "finetune",
        "Train a model on logs whose records have annotations or targets. The same command goes on with a run that was "
        "broken off.",
        "labelgen finetune --config demo --data.train '[train.jsonl]' --data.valid '[valid.jsonl]' --out runs/first",
        argv,
    )
    from labelgen.training.run import finetune

    told = finetune(options)
    if told:
        print_lines(*told.split("\n"))
    return 0
