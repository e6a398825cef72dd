"""Trainings on few labels and on all of them, with and without pretraining; scripts/measure_label_curves.py makes the table.

    python scripts/train_label_curves.py runs/curves/sgd --train train.jsonl --test test.jsonl --against sgd \\
        --outcomes sgd-more.jsonl --encoder runs/public/encoder --pretrained with=runs/public/pretrained/model

For each seed and share the labels of some dialogues of --train are learned from: those whose ids a hash with the seed puts
first, so that 1% of them lie within 5%, and so on. Several models learn from the same labels in the same steps: one begins
with the encoder's own weights (`without`), the others each with those of a pretrained model (its name). What each says of
--test, and of the dialogues with a failed goal among --outcomes that are not in --train, is written to
RUN/ARM-SHARE-SEED.jsonl beside the reference; outcomes are asked of the reference's goals.

Where the encoder is frozen, as in configs/label_curves.yaml, each text is encoded once for all trainings of a sitting. What is
made is not made again: after --minutes no other training begins, and the same command goes on. What follows -- is given to every
training, such as: -- --tasks '{outcome: {}}'"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from command import named, tells_errors
from trainings_here import CONFIGS, MEMORY_BYTES, first_by_hash, has_failed, make_all, signed, split_words, trained

from labelgen.base.errors import UsageError
from labelgen.base.options import read_options
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.log import Log, write_log
from labelgen.nn.embedding_cache import EmbeddingCache
from labelgen.training.options import FinetuneOptions

WITHOUT = "without"
"""The arm that begins with the encoder's own weights."""
SHARES = (1, 5, 10, 25, 100)


class Curves:
    """The trainings of one run folder."""

    def __init__(self, given: argparse.Namespace, more: Sequence[str]) -> None:
        self.given, self.more = given, more
        self.folder: Path = given.run
        log = Log([given.train])
        self.train = list(log)
        self.labels: Sources = log.labels()
        self.test = [*Log([given.test]), *self._failed()]
        self._memories = {arm: EmbeddingCache(MEMORY_BYTES) for arm in (WITHOUT, *given.pretrained)}

    def _failed(self) -> Iterator[Dialogue]:
        if self.given.outcomes is None:
            return
        known = {d.id for d in (*self.train, *Log([self.given.test]))}
        failed = [d for d in Log([self.given.outcomes]) if d.id not in known and has_failed(d, self.given.against)]
        yield from first_by_hash(failed, 0)[: self.given.most]

    def predictions(self, arm: str, share: int, seed: int) -> Path:
        return self.folder / f"{arm}-{share}-{seed}.jsonl"

    def make(self, arm: str, share: int, seed: int) -> None:
        """One training, and what its model says."""
        chosen = first_by_hash(self.train, seed)[: max(1, round(len(self.train) * share / 100))]
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        write_log(work / "log" / "train.jsonl", chosen, self.labels)
        model = trained(self._options(arm, seed, work), self._memories[arm])
        signed_log = signed(model, self.test, self.given.against)
        write_log(self.predictions(arm, share, seed), signed_log, force=True)
        shutil.rmtree(work)

    def _options(self, arm: str, seed: int, work: Path) -> FinetuneOptions:
        words = [word for config in self.given.config for word in ("--config", config)]
        words += [
            "--data.train",
            f"[{work / 'log' / 'train.jsonl'}]",
            "--targets.annotators",
            f"[{self.given.against}]",
        ]
        words += ["--out", str(work / "run"), "--seed", str(seed), "--model.encoder", self.given.encoder]
        words += [] if arm == WITHOUT else ["--init", self.given.pretrained[arm]]
        return read_options(FinetuneOptions, words, self.more)


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    own, more = split_words(argv)
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("run", type=Path, help="folder for what the models say")
    args.add_argument("--train", required=True, help="log whose labels are learned from")
    args.add_argument("--test", required=True, help="log that is held out")
    args.add_argument("--against", required=True, metavar="ANNOTATOR", help="whose labels are learned and judged by")
    args.add_argument("--outcomes", metavar="LOG", help="more dialogues, of which outcomes alone are judged")
    args.add_argument("--most", type=int, default=60, help="dialogues of --outcomes (default %(default)s)")
    args.add_argument("--encoder", required=True, help="where `without` begins")
    args.add_argument(
        "--pretrained", required=True, action="append", metavar="NAME=MODEL", help="where others begin; may be repeated"
    )
    args.add_argument("--config", nargs="+", default=list(CONFIGS), help="of a training (default %(default)s)")
    args.add_argument("--shares", type=int, nargs="+", default=list(SHARES), help="percent (default %(default)s)")
    args.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default %(default)s)")
    args.add_argument("--minutes", type=float, default=float("inf"), help="begin no training after this time")
    given = args.parse_args(own)
    given.pretrained = named(given.pretrained, "--pretrained")
    if WITHOUT in given.pretrained:
        raise UsageError(f"{WITHOUT!r} is the arm of --encoder", "--pretrained", "give the model another name")
    if any(not 0 < share <= 100 for share in given.shares):
        raise UsageError(f"shares are percent, not {given.shares}", "--shares", "give shares above 0, up to 100")
    arms = (WITHOUT, *given.pretrained)
    asked = [(arm, share, seed) for seed in given.seeds for share in given.shares for arm in arms]
    # Asked before the logs are read: where all is made, nothing else is to do.
    left = [one for one in asked if not (given.run / "{}-{}-{}.jsonl".format(*one)).exists()]
    curves = Curves(given, more) if left else None

    def make(one: tuple[str, int, int]) -> str:
        assert curves is not None
        curves.make(*one)
        return "{}, {}% of the labels, seed {}".format(*one)

    make_all(len(asked), left, given.minutes, make)
    return 0


if __name__ == "__main__":
    sys.exit(main())
