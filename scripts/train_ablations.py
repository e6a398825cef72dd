"""Trainings that differ by one thing each, in equal steps; scripts/measure_ablations.py makes the table.

    python scripts/train_ablations.py runs/ablations/sgd --table public --train train.jsonl --test test.jsonl --against sgd \\
        --encoder runs/public/encoder -- --length.max_steps 300

Each variant of scripts/ablation_variants.py is trained on the --dialogues of --train that a stable hash puts first. What its
model says of the --judged dialogues of --test that the same hash puts first, and of the others there with a failed goal, is
written to RUN/VARIANT-SEED.jsonl beside the reference, in this order; outcomes are asked of the reference's goals. Variants that are pretrained go
through --unlabeled dialogues of --train first, in --pretraining-steps.

The encoder is frozen and each text is encoded once for all trainings of a sitting. What is made is not made again: after
--minutes no other training begins, and the same command goes on. With --models the models are kept, and those that are there judge another test log without being trained. What follows -- is
given to every training."""

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ablation_variants import TABLES, Variant
from command import tells_errors
from trainings_here import CONFIGS, MEMORY_BYTES, first_by_hash, has_failed, make_all, signed, split_words, trained

from labelgen.base.errors import UsageError
from labelgen.base.options import read_options
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel
from labelgen.nn.embedding_cache import EmbeddingCache
from labelgen.training.options import FinetuneOptions, PretrainOptions

FROZEN = ("--model.encoder_frozen", "true", "--model.label_refresh_steps", "1000000", "--tracking.wandb", "off")
"""A frozen encoder says the same of a label's text at every step."""


class Ablations:
    """The trainings of one run folder."""

    def __init__(self, given: argparse.Namespace, more: Sequence[str]) -> None:
        self.given, self.more = given, more
        self.folder: Path = given.run
        log = Log([given.train])
        self.labels = log.labels()
        everyone = first_by_hash(list(log), 0)
        self.unlabeled, self.train = everyone[: given.unlabeled], everyone[: given.dialogues]
        held_out = first_by_hash(list(Log([given.test])), 0)
        self.test = held_out[: given.judged]
        self.test += [d for d in held_out[given.judged :] if has_failed(d, given.against)]
        self._memory: tuple[str, EmbeddingCache] = ("", EmbeddingCache(0))
        self._plain = EmbeddingCache(MEMORY_BYTES)

    def make(self, variant: Variant, seed: int) -> None:
        """One training, and what its model says."""
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        kept = None if self.given.models is None else self.given.models / f"{variant.name}-{seed}"
        with variant.part():
            if kept is None:
                model = self._trained(variant, seed, work)
            else:
                if not (kept / "digests.json").exists():
                    save_model(self._trained(variant, seed, work), kept, {})
                # The first test log is judged as any later one, to the bit.
                model = load_model(kept)
            said = signed(model, _shown(self.test, variant), self.given.against, variant.online)
            write_log(work / "said.jsonl", said)
        (work / "said.jsonl").replace(said_by(self.folder, variant.name, seed))
        shutil.rmtree(work)

    def _trained(self, variant: Variant, seed: int, work: Path) -> LabelModel:
        words = ["--targets.annotators", f"[{self.given.against}]", *FROZEN]
        if variant.mixture is not None:
            words += ["--init", str(self._pretrained(variant, seed, work))]
        common = self._words(variant, self.train, work, seed)
        options = read_options(FinetuneOptions, common, words, self.more, variant.words)
        return trained(options, self._remembered(variant))

    def _pretrained(self, variant: Variant, seed: int, work: Path) -> Path:
        folder = self.folder / "pretrained" / f"{variant.name}-{seed}"
        if not (folder / "digests.json").exists():
            shares = ", ".join(f"{name}: {share}" for name, share in variant.mixture or ())
            words = ["--config", "configs/pretrain.yaml", *FROZEN, "--mixture", f"{{{shares}}}"]
            steps = ["--length.max_steps", str(self.given.pretraining_steps)]
            common = self._words(variant, self.unlabeled, work, seed)
            options = read_options(PretrainOptions, common, words, self.more, steps)
            save_model(trained(options, self._remembered(variant)), folder, {})
            shutil.rmtree(work)
        return folder

    def _words(self, variant: Variant, dialogues: Iterable[Dialogue], work: Path, seed: int) -> list[str]:
        log = work / "log" / "train.jsonl"
        write_log(log, _shown(dialogues, variant), self.labels)
        common = [word for config in self.given.config for word in ("--config", config)]
        common += ["--model.encoder", self.given.encoder, "--data.train", f"[{log}]"]
        return [*common, "--out", str(work / "run"), "--seed", str(seed)]

    def _remembered(self, variant: Variant) -> EmbeddingCache:
        """That of the plain encoding is kept, of the others the last."""
        if variant.encoding == "plain":
            return self._plain
        if variant.encoding != self._memory[0]:
            self._memory = (variant.encoding, EmbeddingCache(MEMORY_BYTES))
        return self._memory[1]


def said_by(run: Path, variant: str, seed: int) -> Path:
    """Where the predictions of a training lie."""
    return run / f"{variant}-{seed}.jsonl"


def _shown(dialogues: Iterable[Dialogue], variant: Variant) -> list[Dialogue]:
    return [d if variant.text is None else variant.text(d) for d in dialogues]


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    own, more = split_words(argv)
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("run", type=Path, help="folder for what the models say")
    args.add_argument("--table", choices=sorted(TABLES), required=True, help="whose variants are trained")
    args.add_argument("--train", required=True, help="log to learn from")
    args.add_argument("--test", required=True, help="log that is held out")
    args.add_argument("--against", required=True, metavar="ANNOTATOR", help="whose labels are learned and judged by")
    args.add_argument("--encoder", required=True, help="where all begin")
    args.add_argument("--dialogues", type=int, default=2000, help="that are learned from (default %(default)s)")
    args.add_argument("--judged", type=int, default=400, help="dialogues that are judged (default %(default)s)")
    args.add_argument("--unlabeled", type=int, default=4000, help="that are pretrained on (default %(default)s)")
    args.add_argument("--pretraining-steps", type=int, default=600, help="(default %(default)s)")
    args.add_argument("--config", nargs="+", default=list(CONFIGS), help="of a training (default %(default)s)")
    args.add_argument(
        "--models", type=Path, help="folder where models are kept; one that is there is not trained again"
    )
    args.add_argument("--only", nargs="+", metavar="VARIANT", help="none but these")
    args.add_argument("--seeds", type=int, nargs="+", default=[1], help="(default %(default)s)")
    args.add_argument("--minutes", type=float, default=float("inf"), help="begin no training after this time")
    given = args.parse_args(own)
    variants = {variant.name: variant for variant in TABLES[given.table]}
    unknown = [name for name in given.only or () if name not in variants]
    if unknown:
        raise UsageError(f"no variant is named {unknown[0]!r}", "--only", f"choose among {', '.join(variants)}")
    asked = [(variants[name], seed) for name in given.only or variants for seed in given.seeds]
    # One encoding after the other, the plain one first: only its memory and another's are held.
    asked.sort(key=lambda one: (one[0].encoding != "plain", one[0].encoding))
    left = [(v, seed) for v, seed in asked if not said_by(given.run, v.name, seed).exists()]
    ablations = Ablations(given, more) if left else None

    def make(one: tuple[Variant, int]) -> str:
        assert ablations is not None
        ablations.make(*one)
        return f"{one[0].name}, seed {one[1]}"

    make_all(len(asked), left, given.minutes, make)
    return 0


if __name__ == "__main__":
    sys.exit(main())
