"""The table of ablations, from what the models of scripts/train_ablations.py said.

    python scripts/measure_ablations.py runs/ablations/sgd --table public --against sgd --out results/ablations.json

A variant's value is over its seeds together: each held-out dialogue counts once a seed, and the bootstrap draws dialogues with
all their seeds. The difference is to the variant that it stands beside, on the seeds that both have and on the same draws.
Outcomes are asked of the reference's goals on all dialogues of the files, the other questions on the first --judged."""

import argparse
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ablation_variants import TABLES, Variant
from command import arguments, parsed, tells_errors, write_table
from measure_label_curves import difference, measured
from train_ablations import said_by

from labelgen import __version__
from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.evaluation.measure import Measured
from labelgen.evaluation.tasks import evaluation_tasks
from labelgen.metrics.results import Setting

FROZEN = (
    "The encoder is frozen, so that what reads its vectors is compared, and each text is encoded once. The recipes of the other tables train "
    "the encoder too, and for many more steps: levels are lower here, and what a trained encoder can make good, as texts and "
    "pooling, may stand otherwise there. "
)
SEEDS = range(1, 100)
CHANCE = (
    "Intervals are over dialogues, with one training each where one seed is named; what another seed "
    "changes is not in them, and of so many differences some leave zero out by chance."
)


@dataclass(frozen=True, kw_only=True)
class About:
    """What is said of a table. metrics: question -> its metric, in the order of the columns; columns: what a column is called where
    that is not its metric. joint: metric -> tasks that it asks together."""

    title: str
    text: str
    command: str = "bash scripts/ablations.sh DATA"
    order: int = 22
    metrics: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)
    joint: Mapping[str, Sequence[str]] = field(default_factory=dict)


METRICS = {
    "goals": "exact_goal_f1",
    "outcome": "failure_auprc",
    "intents": "intent_accuracy",
    "slots": "slot_span_f1",
    "quality, turn": "bad_auprc",
}
ABOUT = {
    "public": About(
        title="Ablations on SGD",
        text="Each variant is the reference with one thing changed, or pretraining with one objective left out: 150 steps of 64 turns from "
        "the same 2,000 dialogues, half a pass, judged on 400 of the held-out tenth, and outcomes on its other failures too. Pretraining "
        "is 300 steps on the same dialogues, on the frozen encoder as well; without an objective the others have its share. A task alone has all steps to itself. "
        + FROZEN,
        metrics=METRICS,
    ),
    "features": About(
        title="Ablations of turn features on a simulated log",
        text="SGD has texts alone, so features are left out of the training on a simulated log of 2,000 dialogues, whose truth is known: one "
        "group at a time, then all, 150 steps of 64 turns. What a feature is worth there is what the simulation gives it to tell. "
        + FROZEN,
        metrics=METRICS,
    ),
    "masks": About(
        title="One model for whole dialogues and for turns as they come",
        text="A dialogue is labeled with all of its turns in sight, or, as `labelgen label --online` does, each turn with the earlier ones alone. "
        "Each training has some share of its batches seen that way (`batch.online_share`). As the ablations on SGD: 150 steps on 2,000 dialogues, "
        "judged on 400 of the held-out tenth, outcomes on its other failures too. The trainings of a group stand beside its first, which stands beside the very first. "
        + FROZEN,
        metrics={k: v for k, v in METRICS.items() if not k.startswith("quality")},
    ),
    "context": About(
        title="MultiWOZ by itself: what a request is read with",
        text="Acts of the user's line, and slots. Each variant is the reference with something left out, in the same pass over the same dialogues, the encoder trained too. A turn "
        "is a request and the response to it, so a model without the dialogue encoder still sees what the assistant answered; ConvLab-3's BERTNLU "
        "without context, beside which a published gain of .044 stands (F1 of acts with slots and values, trained on ten times as much), reads the user's line alone, as the last row does. "
        "Trained on the published validation part, judged on the test part. ",
        command="bash scripts/requests.sh DATA",
        order=2,
        metrics={"intents": "slot_span_f1", "slots": "slot_span_f1", "intents and slots": "frame_accuracy"},
        columns={"intents": "acts, F1", "slots": "slots, span F1", "intents and slots": "frames right"},
        joint={"frame_accuracy": ("intents", "slots")},
    ),
}
"""table -> what is said of it."""


class Answers:
    """What the models of a run said, measured once for each variant and set of seeds."""

    def __init__(self, run: Path, about: About, judged: int, setting: Setting) -> None:
        self.run, self.judged, self.setting = run, judged, setting
        self.metrics = about.metrics
        self.questions = [q for name in about.metrics for q in evaluation_tasks(about.joint) if q.name == name]
        self.dialogues: dict[str, int] = {}
        self._found: dict[tuple[str, tuple[int, ...]], dict[str, Measured]] = {}

    def seeds(self, variant: str) -> tuple[int, ...]:
        return tuple(seed for seed in SEEDS if said_by(self.run, variant, seed).exists())

    def of(self, variant: str, seeds: tuple[int, ...]) -> Mapping[str, Measured]:
        """question -> its metric over these seeds; without what the variant does not answer."""
        key = (variant, seeds)
        if key not in self._found:
            logs = [list(Log([said_by(self.run, variant, seed)], max_bad_rate=0.0)) for seed in seeds]
            self._found[key] = {}
            for question in self.questions:
                own: list[list[Dialogue]] = logs if question.name == "outcome" else [log[: self.judged] for log in logs]
                metric = self.metrics[question.name]
                found = measured(own, question, (metric,), self.setting)
                if found:
                    self._found[key][question.name] = found[0][metric]
                    self.dialogues.setdefault(question.name, len(own[0]))
        return self._found[key]


def rows_of(variants: Sequence[Variant], answers: Answers, columns: Sequence[str]) -> list[list[Any]]:
    """A row a variant that was trained, in their order. Raises InputError where one lacks the variant that it stands beside."""
    rows: list[list[Any]] = []
    for variant in variants:
        seeds = answers.seeds(variant.name)
        if not seeds:
            continue
        own = answers.of(variant.name, seeds)
        both = () if variant.beside is None else tuple(s for s in seeds if s in answers.seeds(variant.beside))
        if variant.beside is not None and not both:
            raise InputError(
                f"{variant.name} has no seed in common with {variant.beside}",
                str(answers.run),
                "run scripts/train_ablations.py to its end",
            )
        cells: list[Any] = []
        for question in columns:
            if question not in own:
                cells += [None, None]
                continue
            if variant.beside is None:
                cells += [own[question].interval.rounded(), None]
                continue
            theirs = answers.of(variant.beside, both)[question]
            value = own[question].interval.rounded()["value"]
            cells += [value, difference(answers.of(variant.name, both)[question], theirs)]
        rows.append([variant.group, variant.what, len(seeds), *cells])
    return rows


def seed_rows(answers: Answers, columns: Sequence[str]) -> list[list[Any]]:
    """The first variant with other seeds beside its first one: what a seed alone changes."""
    seeds = answers.seeds("reference")
    first = answers.of("reference", seeds[:1])
    rows = []
    for seed in seeds[1:]:
        own = answers.of("reference", (seed,))
        cells = [
            cell
            for question in columns
            for cell in (own[question].interval.rounded()["value"], difference(own[question], first[question]))
        ]
        rows.append(["reference", f"seed {seed} beside seed {seeds[0]}", 1, *cells])
    return rows


def table(given: argparse.Namespace) -> dict[str, Any]:
    """Raises InputError where the reference is not trained, or a row has nothing to stand beside."""
    about = ABOUT[given.table]
    answers = Answers(
        given.run, about, given.judged, Setting(given.against, annotators=None, resamples=given.resamples)
    )
    if not answers.seeds("reference"):
        raise InputError("the reference is not trained yet", str(given.run), "run scripts/train_ablations.py")
    columns = list(answers.of("reference", answers.seeds("reference")))
    rows = rows_of(TABLES[given.table], answers, columns)
    rows[1:1] = seed_rows(answers, columns)
    judged = "; ".join(f"{question} on {answers.dialogues[question]:,} dialogues" for question in columns)
    left = [variant.what for variant in TABLES[given.table] if not answers.seeds(variant.name)]
    shown = {**about.metrics, **about.columns}
    named = [f"{shown[question]}, {what}" for question in columns for what in ("value", "difference (95%)")]
    return {
        "order": about.order,
        "title": about.title,
        "text": about.text + CHANCE,
        "command": about.command,
        "versions": {"labelgen": __version__, "python": platform.python_version(), "torch": str(torch.__version__)},
        "data": f"Judged: {judged}." + (f" Not trained yet: {'; '.join(left)}." if left else ""),
        "columns": ["what", "variant", "seeds", *named],
        "rows": rows,
    }


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__, out_required=True)
    args.add_argument("run", type=Path, help="folder of the trainings")
    args.add_argument("--table", choices=sorted(TABLES), required=True, help="whose variants were trained")
    args.add_argument("--against", required=True, metavar="ANNOTATOR", help="the reference")
    args.add_argument("--judged", type=int, default=400, help="as in the trainings (default %(default)s)")
    args.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default %(default)s)")
    given = parsed(args, argv)
    write_table(given.out, table(given))
    print(f"wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
