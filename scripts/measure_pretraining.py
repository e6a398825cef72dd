"""What a pretrained model has learned, on dialogues that it was not pretrained on.

    python scripts/measure_pretraining.py --model pretrained=runs/public/pretrained/model \\
        --model "without context=runs/pretraining/alone/model" --encoder runs/public/encoder \\
        --log SGD=runs/public/sgd/test.jsonl --log STAR=runs/public/star-parts/test.jsonl --out results/pretraining_detection.json

Of each log, dialogues that a stable hash draws are corrupted as in pretraining, other responses drawn from the same log:

- swapped: AUROC of p(bad) between swapped answers of one kind (random, same domain, nearest but different) and the answers
  of the same dialogues that were left as they were;
- order: AUROC of p(moved) over all turns;
- selection: a response is hidden, and so is all that comes later; how often the model puts it first among all responses of
  a batch (top 1), and the mean of one over its rank (MRR);
- splices: F1 of exact goals and B-cubed F1 in two or three dialogues that interleave.

Beside the models stands the cosine of the vectors of request and response, by the plain encoder and by each model's that differs.
The last column is the first model minus the better cosine, or minus the second model where there is no cosine. Where a log
names no domains, the same domain is the same corpus. Intervals are 95% bootstrap intervals over dialogues."""

import argparse
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command import arguments, named, parsed, tells_errors, write_table
from pretraining_probes import Corruptions, Cosine, Judged, judge_cosine, judge_model, lines_of
from torch import nn

from labelgen import __version__
from labelgen.confidence.resampling import Array, interval, paired_difference, resampled, resamples
from labelgen.features.pretrained import load_encoder
from labelgen.metrics.results import Interval
from labelgen.model.annotator import Annotator
from labelgen.nn.turn_encoder import TurnEncoder


def rows_of(
    name: str, lines: Mapping[str, Judged], judges: Sequence[str], models: int, times: Array
) -> list[list[Any]]:
    out: list[list[Any]] = []
    for line in lines.values():
        found: dict[str, tuple[Interval, Array]] = {}
        for judge, rows in line.rows.items():

            def statistic(drawn: Array, line: Judged = line, rows: Sequence[Any] = rows) -> Array:
                return line.value(rows, drawn)

            draws = resampled(statistic, times)
            found[judge] = (interval(float(statistic(np.ones((1, times.shape[1])))[0]), draws), draws)
        beside = [judge for judge in judges[models:] if judge in found] or list(judges[1:models])
        best = max(beside, key=lambda judge: found[judge][0].value or 0.0, default=None)
        ahead = None
        if best is not None:
            (ours, our_draws), (theirs, their_draws) = found[judges[0]], found[best]
            ahead = paired_difference(ours, theirs, (our_draws, their_draws)).rounded()
        cells = [found[judge][0].rounded() if judge in found else None for judge in judges]
        task, _, kind = line.what.partition(", ")
        out.append([name, task, kind if task == "swapped" else None, line.metric, *cells, ahead])
    return out


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    args = arguments(__doc__, out_required=True)
    args.add_argument("--model", action="append", required=True, metavar="NAME=FOLDER", help="may be repeated")
    args.add_argument("--log", action="append", required=True, metavar="NAME=LOG", help="held out; may be repeated")
    args.add_argument("--encoder", required=True, help="the plain encoder, for its cosine")
    args.add_argument("--dialogues", type=int, default=200, help="of each log (default %(default)s)")
    args.add_argument("--seed", type=int, default=0, help="of draws and corruptions (default %(default)s)")
    args.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default %(default)s)")
    args.add_argument("--title", default="What pretraining learns, on dialogues it has not seen", help="of the table")
    args.add_argument("--order", type=int, default=20, help="of the table among the others (default %(default)s)")
    args.add_argument("--note", default="", help="what else a reader must know, said below the table")
    given = parsed(args, words)
    table = measure(given, shlex.join(["python", "scripts/measure_pretraining.py", *words]))
    write_table(given.out, table)
    print(f"wrote {given.out}")
    return 0


def measure(given: argparse.Namespace, command: str) -> dict[str, Any]:
    annotators = {name: Annotator(Path(path), name=name) for name, path in named(given.model, "--model").items()}
    about = []
    first = next(iter(annotators.values())).model
    plain = TurnEncoder(load_encoder(given.encoder, 0.0), first.turn_encoder.width, frozen=True).eval()
    cosines = {"cosine": Cosine(plain, first.tokenizer)}
    for name, annotator in annotators.items():
        model = annotator.model
        if not _equal(model.turn_encoder.encoder, plain.encoder):
            cosines[f"cosine, {name}"] = Cosine(model.turn_encoder, model.tokenizer)
    judges = [*annotators, *cosines]
    rows: list[list[Any]] = []
    for name, path in named(given.log, "--log").items():
        log, lines = Corruptions(path, given.dialogues, given.seed), lines_of()
        for judge, annotator in annotators.items():
            judge_model(judge, annotator, log, lines)
        for judge, cosine in cosines.items():
            judge_cosine(judge, cosine, log, lines)
        rows += rows_of(name, lines, judges, len(annotators), resamples(log.count, given.resamples, given.seed))
        about.append(f"{name}: {log.count:,} dialogues, {log.turns:,} turns")
    return {
        "order": given.order,
        "title": given.title,
        "text": "`scripts/measure_pretraining.py --help` says what is done to the dialogues and what each line means.",
        "command": command,
        "versions": {"labelgen": __version__, "python": platform.python_version(), "torch": str(torch.__version__)},
        "data": " ".join(part for part in (f"{'; '.join(about)}.", given.note) if part),
        "columns": ["log", "task", "kind", "metric", *(f"{judge} (95%)" for judge in judges), "first ahead by (95%)"],
        "rows": rows,
    }


def _equal(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(own, theirs[name]) for name, own in one.state_dict().items())


if __name__ == "__main__":
    sys.exit(main())
