"""Trainings on few labels and on all of them, with and without pretraining; scripts/measure_label_curves.py makes the table.

    python scripts/train_label_curves.py runs/curves/sgd --train train.jsonl --test test.jsonl --against sgd \\
        --outcomes sgd-more.jsonl --encoder runs/public/encoder --pretrained runs/public/pretrained/model

For each seed and share the labels of some dialogues of --train are learnt from: those whose ids a hash with the seed puts
first, so that 1% of them lie within 5%, and so on. Two models learn from the same labels in the same steps: one begins
with the encoder's own weights (`without`), the other with those of the pretrained model (`with`). What each says of
--test, and of the dialogues with a failed goal among --outcomes that are not in --train, is written to
RUN/ARM-SHARE-SEED.jsonl beside the reference; outcomes are asked of the reference's goals.

Where the encoder is frozen, as in configs/label_curves.yaml, each passage is encoded once for all trainings. What is made is
not made again: after --minutes no other training begins, and the same command goes on. What follows -- is given to every
training, such as: -- --tasks '{outcome: {}}'"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from labelgen.base.errors import LabelgenError, UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_set import Sources
from labelgen.data.labels import Annotation
from labelgen.data.log import Log, write_log
from labelgen.data.quarantine import Quarantine
from labelgen.data.split import position
from labelgen.model.annotate import annotate
from labelgen.model.build import build_model, take_over
from labelgen.model.folder import load_model
from labelgen.model.label_model import LabelModel
from labelgen.tensors.text import Tokenizer
from labelgen.training.config import parse
from labelgen.training.corpus import Corpus
from labelgen.training.data import AnnotatedExamples, ChosenTargets
from labelgen.training.fit import fit
from labelgen.training.options import FinetuneOptions

ARMS = ("without", "with")
SHARES = (1, 5, 10, 25, 100)
SAID = "model"
"""Who signs what a model says."""
CONFIGS = ("configs/public_cpu.yaml", "configs/label_curves.yaml")

States = Callable[[Sequence[Tensor]], list[Tensor]]


class Remembered:
    """Token states of passages by one frozen encoder, in bfloat16, each made once for all trainings."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Tensor] = {}

    def __deepcopy__(self, memo: object) -> "Remembered":
        return self

    def serve(self, model: LabelModel) -> None:
        """Let the model's turn encoder ask here first. Its weights must be those of every other model that is served."""
        made: States = model.turn_encoder.states

        def states(groups: Sequence[Tensor]) -> list[Tensor]:
            out = []
            for ids in groups:
                keys = [tuple(row) for row in ids.tolist()]
                new = [k for k, key in enumerate(keys) if key not in self._known]
                if new:
                    with torch.inference_mode(mode=False), torch.no_grad():
                        (found,) = made([ids[new].clone()])
                    self._known.update(zip((keys[k] for k in new), found.bfloat16().unbind(), strict=True))
                out.append(torch.stack([self._known[key] for key in keys]).float())
            return out

        model.turn_encoder.states = states  # type: ignore[method-assign]

    def expect(self, model: LabelModel, tokenizer: Tokenizer, dialogues: Sequence[Dialogue], kept: Path) -> None:
        """Encode what the dialogues say, many passages at a time, and keep it for the next sitting."""
        if kept.exists():
            held = load_file(kept)
            lengths = held["lengths"].tolist()
            keys = (tuple(ids) for ids in (row.tolist() for row in torch.split(held["ids"], lengths)))
            self._known.update(zip(keys, torch.split(held["states"], lengths), strict=True))
            return
        texts = [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.request, turn.response)]
        by_length: dict[int, dict[tuple[int, ...], None]] = {}
        for tokens in tokenizer(texts):
            by_length.setdefault(len(tokens.ids), {})[tokens.ids] = None
        model.turn_encoder.prepare(torch.bfloat16)
        with torch.inference_mode():
            for length, passages in sorted(by_length.items()):
                rows = torch.tensor(list(passages))
                for part in torch.split(rows, max(1, 4096 // length)):
                    model.turn_encoder.states([part])
        model.turn_encoder.train()
        held = {
            "lengths": torch.tensor([len(key) for key in self._known]),
            "ids": torch.tensor([i for key in self._known for i in key]),
            "states": torch.cat(list(self._known.values())),
        }
        save_file(held, kept.with_suffix(".part"))
        kept.with_suffix(".part").replace(kept)


class Curves:
    """The trainings of one run folder."""

    def __init__(self, given: argparse.Namespace, more: Sequence[str]) -> None:
        self.given, self.more = given, more
        self.folder: Path = given.run
        log = Log([given.train])
        self.train = list(log)
        self.labels: Sources = log.labels()
        self.test = [*Log([given.test]), *self._failed()]
        self._states = {arm: Remembered() for arm in ARMS}
        self._expected: set[str] = set()

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
        model = self._fitted(self._options(arm, seed, work), arm, work)
        said = annotate(model, self.test, self.given.against)
        signed = []
        for dialogue, answers in zip(self.test, said, strict=True):
            own = Annotation(
                SAID,
                "model",
                labels=tuple(label for one in answers for label in one.labels),
                none=tuple(field for one in answers for field in one.none),
                none_probabilities=tuple(p for one in answers for p in one.none_probabilities),
            )
            signed.append(replace(dialogue, annotations=(*dialogue.annotations, own)))
        write_log(self.predictions(arm, share, seed), signed, force=True)
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
        words += ["--init", self.given.pretrained] if arm == "with" else []
        return parse(FinetuneOptions, "finetune", "", "", [*words, *self.more])

    def _fitted(self, options: FinetuneOptions, arm: str, work: Path) -> LabelModel:
        prepare = ChosenTargets(options.targets, options.tasks)
        with (
            closing(Quarantine(work / "bad.jsonl")) as bad,
            closing(Corpus(options.data.train, "labelgen", 0.0, prepare, f"{arm}, seed {options.seed}", bad)) as corpus,
        ):
            torch.manual_seed(options.seed)
            model = build_model(options.model, options.tasks, corpus.labels, corpus)
            if options.init is not None:
                take_over(model, load_model(Path(options.init)))
            if options.model.encoder_frozen:
                self._serve(model, arm)
            examples = AnnotatedExamples(corpus, 0.0, options.seed)
            return fit(options, model, examples, None, Path(options.out), ()).model.eval()

    def _serve(self, model: LabelModel, arm: str) -> None:
        self._states[arm].serve(model)
        if arm not in self._expected:
            self._expected.add(arm)
            kept = self.folder / f"encoded-{arm}.safetensors"
            self._states[arm].expect(model, model.tokenizer, [*self.train, *self.test], kept)


def first_by_hash(dialogues: Sequence[Dialogue], seed: int) -> list[Dialogue]:
    """In an order that depends on ids and seed alone."""
    return sorted(dialogues, key=lambda d: (position(seed, f"label curve {d.id}"), d.id))


def has_failed(dialogue: Dialogue, annotator: str) -> bool:
    """Whether a goal of the dialogue failed."""
    annotation = dialogue.annotation(annotator)
    return annotation is not None and any((x.task, x.name) == ("outcome", "failure") for x in annotation.labels)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("run", type=Path, help="folder for what the models say")
    args.add_argument("--train", required=True, help="log whose labels are learnt from")
    args.add_argument("--test", required=True, help="log that is held out")
    args.add_argument("--against", required=True, metavar="ANNOTATOR", help="whose labels are learnt and judged by")
    args.add_argument("--outcomes", metavar="LOG", help="more dialogues, of which outcomes alone are judged")
    args.add_argument("--most", type=int, default=60, help="dialogues of --outcomes (default %(default)s)")
    args.add_argument("--encoder", required=True, help="where `without` begins")
    args.add_argument("--pretrained", required=True, metavar="MODEL", help="where `with` begins")
    args.add_argument("--config", nargs="+", default=list(CONFIGS), help="of a training (default %(default)s)")
    args.add_argument("--shares", type=int, nargs="+", default=list(SHARES), help="percent (default %(default)s)")
    args.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default %(default)s)")
    args.add_argument("--minutes", type=float, default=float("inf"), help="begin no training after this time")
    given = args.parse_args(words[:cut])
    began = time.monotonic()
    try:
        if any(not 0 < share <= 100 for share in given.shares):
            raise UsageError(f"shares are percent, not {given.shares}", "--shares", "give shares above 0, up to 100")
        asked = [(arm, share, seed) for seed in given.seeds for share in given.shares for arm in ARMS]
        # Asked before the logs are read: where all is made, nothing else is to do.
        left = [one for one in asked if not (given.run / "{}-{}-{}.jsonl".format(*one)).exists()]
        curves = Curves(given, words[cut + 1 :]) if left else None
        while left and curves is not None and time.monotonic() - began < 60 * given.minutes:
            now = time.monotonic()
            curves.make(*left[0])
            print("{}, {}% of the labels, seed {}:".format(*left.pop(0)), f"{time.monotonic() - now:.0f} s", flush=True)
    except LabelgenError as error:
        print(f"train_label_curves: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(left)} of {len(asked)} trainings are left" if left else f"all {len(asked)} trainings are made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
