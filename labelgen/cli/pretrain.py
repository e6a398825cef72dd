"""labelgen pretrain: train a model on dialogues that nobody labeled."""

from collections.abc import Sequence

from labelgen.base.printable import print_lines


def main(argv: Sequence[str]) -> int:
    from labelgen.training.config import parse
    from labelgen.training.options import PretrainOptions

    options = parse(
        PretrainOptions,
        "pretrain",
        "Train a model on corruptions of unlabeled dialogues: swapped answers, spliced dialogues, shuffled turns, hidden "
        "answers. Its model folder is the `init` of labelgen finetune. The same command goes on with a run that was "
        "broken off.",
        "labelgen pretrain --config demo --config pretrain --data.train '[train.jsonl]' "
        "--data.valid '[valid.jsonl]' --out runs/pretrained",
        argv,
    )
    from labelgen.training.run import pretrain

    told = pretrain(options)
    if told:
        print_lines(*told.split("\n"))
    return 0
