"""The table of label curves, from what the models of scripts/train_label_curves.py said.

    python scripts/measure_label_curves.py runs/curves/sgd runs/curves/sgd-slots --against sgd --test test.jsonl \\
        --out results/label_curves_sgd.json

A value is over the seeds together: each held-out dialogue counts once a seed, and the bootstrap draws dialogues with all
their seeds. Both arms are drawn together. Outcomes are asked of the reference's goals; the other questions are judged on
the dialogues of --test alone."""

import argparse
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command import arguments, parsed, tells_errors, write_table

from labelgen import __version__
from labelgen.base.errors import InputError
from labelgen.confidence.resampling import paired_difference
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.evaluation.measure import Measured, items_of, measure_all
from labelgen.evaluation.protocol import Judgment, Protocol
from labelgen.evaluation.tasks import EvaluationTask, evaluation_tasks
from labelgen.metrics.results import Setting

WITHOUT = "without"
SHARES = (1, 5, 10, 25, 100)
SAID = "model"
METRICS = {
    "outcome": ("failure_f1", "failure_auprc"),
    "goals": ("exact_goal_f1",),
    "intents": ("intent_accuracy", "intent_macro_f1"),
    "slots": ("slot_span_f1",),
}
"""question -> its metrics."""
COLUMNS = (
    "question",
    "metric",
    "labels",
    "pretraining",
    "without (95%)",
    "with (95%)",
    "with minus without (95%)",
    "by seed",
    "with minus without at 100%, 150 steps (95%)",
)

Found = Mapping[str, Measured]


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    args = arguments(__doc__, out_required=True)
    args.add_argument("runs", type=Path, nargs="+", help="folders of trainings, each of other questions")
    args.add_argument("--against", required=True, metavar="ANNOTATOR", help="the reference")
    args.add_argument(
        "--test", help="the log whose dialogues all questions are judged on (default: all that were judged)"
    )
    args.add_argument(
        "--arms",
        nargs="+",
        default=["with"],
        help="names of pretrained models; a run that has none of one is judged without (default %(default)s)",
    )
    args.add_argument("--shares", type=int, nargs="+", default=list(SHARES), help="percent (default %(default)s)")
    args.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default %(default)s)")
    args.add_argument("--title", default="Label curves with and without pretraining", help="of the table")
    args.add_argument("--order", type=int, default=21, help="of the table among the others (default %(default)s)")
    args.add_argument("--note", default="", help="what else a reader must know, said below the table")
    args.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default %(default)s)")
    given = parsed(args, words)
    command = shlex.join(["python", "scripts/measure_label_curves.py", *words])
    write_table(given.out, table(given, command))
    print(f"wrote {given.out}")
    return 0


def table(given: argparse.Namespace, command: str) -> dict[str, Any]:
    """Raises InputError where a training of the shares and seeds has not been made."""
    setting = Setting(given.against, annotators=None, resamples=given.resamples)
    ids = {d.id for d in Log([given.test])} if given.test else None
    rows: list[list[Any]] = []
    judged = []
    if absent := [arm for arm in given.arms if not any(_made(run, arm) for run in given.runs)]:
        raise InputError(f"nothing was trained from {absent[0]}", "--arms", "run scripts/train_label_curves.py with it")
    for run in given.runs:
        arms = [arm for arm in given.arms if _made(run, arm)]
        said = {
            (arm, share): [read(run, arm, share, s) for s in given.seeds]
            for share in given.shares
            for arm in (WITHOUT, *arms)
        }
        everyone = said[WITHOUT, given.shares[0]][0]
        for question in (q for q in evaluation_tasks() if q.name in METRICS):
            own = [k for k, d in enumerate(everyone) if ids is None or d.id in ids or question.name == "outcome"]
            found = {
                key: measured([[log[k] for k in own] for log in logs], question, METRICS[question.name], setting)
                for key, logs in said.items()
            }
            if all(found.values()):
                rows += rows_of(question.name, found, given.shares, arms)
                fields = _first(found).items // len(given.seeds)
                judged.append(f"{question.name} on {len(own):,} dialogues, {fields:,} answers")
    return {
        "order": given.order,
        "title": given.title,
        "text": (
            "`without` begins with the encoder's own weights, `with` with those of a pretrained model; labels, steps and "
            "all else are equal. F1 of failure is on given goals. `by seed`: the least and the greatest difference of one seed."
        ),
        "command": command,
        "versions": {"labelgen": __version__, "python": platform.python_version(), "torch": str(torch.__version__)},
        "data": " ".join(x for x in (f"{len(given.seeds)} seeds; {'; '.join(judged)}.", given.note) if x),
        "columns": list(COLUMNS),
        "rows": rows,
    }


def _made(run: Path, arm: str) -> bool:
    return any(run.glob(f"{arm}-*.jsonl"))


def read(run: Path, arm: str, share: int, seed: int) -> list[Dialogue]:
    path = run / f"{arm}-{share}-{seed}.jsonl"
    if not path.exists():
        raise InputError("a training is not made yet", str(path), "run scripts/train_label_curves.py to its end")
    return list(Log([path], max_bad_rate=0.0))


def measured(
    logs: Sequence[Sequence[Dialogue]], question: EvaluationTask, names: Sequence[str], setting: Setting
) -> list[Found]:
    """The metrics of these names, of all seeds together, then of each alone; empty where the reference or the models answer
    nothing."""
    trials: list[Judgment] = []
    items = []
    for log in logs:
        own = Protocol(log, (question,), setting).judgments(question).all
        trials += own
        items.append(items_of(own, log, question, SAID))
    if not any(item.predicted for one in items for item in one):
        return []
    found: list[Found] = [measure_all(names, [item for one in items for item in one], trials, setting)]
    size = len(trials) // len(logs)
    found += [
        measure_all(names, one, trials[k * size : (k + 1) * size], Setting(setting.reference, resamples=0))
        for k, one in enumerate(items)
    ]
    return found


def rows_of(
    question: str, found: Mapping[tuple[str, int], Sequence[Found]], shares: Sequence[int], arms: Sequence[str]
) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for metric, arm, share in product(METRICS[question], arms, shares):
        without, with_, full = found[WITHOUT, share], found[arm, share], found.get((WITHOUT, 100))
        seeds = [
            (b[metric].interval.value or 0.0) - (a[metric].interval.value or 0.0)
            for a, b in zip(without[1:], with_[1:], strict=True)
        ]
        rows.append(
            [
                question,
                metric,
                f"{share}%",
                arm,
                without[0][metric].interval.rounded(),
                with_[0][metric].interval.rounded(),
                difference(with_[0][metric], without[0][metric]),
                f"{min(seeds):+.3f} to {max(seeds):+.3f}" if np.isfinite(seeds).all() else None,
                None if full is None else difference(with_[0][metric], full[0][metric]),
            ]
        )
    return rows


def difference(ours: Measured, theirs: Measured) -> dict[str, float | None]:
    return paired_difference(ours.interval, theirs.interval, (ours.draws, theirs.draws)).rounded()


def _first(found: Mapping[tuple[str, int], Sequence[Found]]) -> Measured:
    return next(iter(next(iter(found.values()))[0].values()))


if __name__ == "__main__":
    sys.exit(main())
