"""labelgen estimate: a log's success rate, from many labels of a model and few of people."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.printable import print_lines
from labelgen.cli.arguments import add_annotators, add_force, add_log, open_log, parser


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    if not 0 < args.confidence < 1:
        raise UsageError(
            "--confidence is not between 0 and 1", f"--confidence {args.confidence}", "write --confidence 0.95"
        )
    if args.out is not None:
        fresh_file(args.out, args.force)
    rows = _rows(args)
    from labelgen.evaluation.prepare import DIFFICULT, TRAINED_ON

    if rows[0]["trained_on"] and not rows[0]["dialogues"]:
        raise InputError(
            f"no dialogue is left that is new to {args.annotator}: {TRAINED_ON}",
            ", ".join(map(str, args.log)),
            "label a log that it was not trained on",
        )
    if not rows[0]["dialogues"]:
        raise InputError(
            f"no dialogue is annotated by {args.annotator}",
            ", ".join(map(str, args.log)),
            "label the log first, or name who labeled it by --annotator",
        )
    names = [
        row["slice"] if len(set(args.slice)) < 2 or row["by"] is None else f"{row['by']}: {row['slice']}"
        for row in rows
    ]
    width = max(map(len, ("slice", *names)))
    print_lines(f"share of {args.label} among {args.task}, {args.confidence:.0%} intervals")
    print_lines(f"{'slice':<{width}} {'dialogues':>9} {'by people':>9}  {'people alone':<24}  {'people and model':<24}")
    for name, row in zip(names, rows, strict=True):
        print_lines(
            f"{name:<{width}} {row['dialogues']:>9,} {row['labeled_by_people']:>9,}  "
            f"{_shown(row['people_alone']):<24}  {_shown(row['prediction_powered'])}"
        )
    if not rows[0]["labeled_by_people"]:
        who = "two people of one mind" if args.reference == "consensus" else args.reference
        print_lines(f"no dialogue has {args.task} by {who}; where one person annotated, name them: --reference NAME")
    if trained := rows[0]["trained_on"]:
        print_lines(
            f"{trained:,} dialogues are left out: {args.annotator} was trained on them, and its labels there are too good"
        )
    if difficult := rows[0]["drawn_for_difficulty"]:
        print_lines(
            f"of {difficult:,} dialogues people's labels are passed over: {DIFFICULT}; draw some with `labelgen review sample --how "
            "audit`"
        )
    if divided := rows[0]["people_divided"]:
        print_lines(
            f"in {divided:,} dialogues people are divided about {args.task}: the rates are of what they agree on, and biased where "
            "that is easier; a third vote, or --reference NAME, decides"
        )
    if args.out is not None:
        write_text(args.out, msgspec.json.format(msgspec.json.encode(rows), indent=1).decode() + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "estimate",
        "Estimate how often goals are reached in a log that a model labeled whole, and people in a part drawn by chance: "
        "by people's labels alone, and by both (prediction-powered inference).",
        "labelgen estimate labeled.jsonl --slice domain",
    )
    add_log(to)
    to.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="FIELD",
        help="source, device, domain, length, interleaved, locale or user; may be repeated, each field by itself",
    )
    to.add_argument("--annotator", default="model", metavar="NAME", help="the model (default %(default)s)")
    to.add_argument(
        "--reference", default="consensus", metavar="NAME", help="who is right: consensus (default) or an annotator"
    )
    add_annotators(to, "kind=person", "who makes the consensus")
    to.add_argument("--task", default="outcome", metavar="NAME", help="of which one name holds (default %(default)s)")
    to.add_argument("--label", default="success", metavar="NAME", help="whose share is wanted (default %(default)s)")
    to.add_argument("--confidence", type=float, default=0.95, help="of each interval by itself (default %(default)s)")
    to.add_argument("--out", type=Path, metavar="FILE", help="write every number here, as JSON")
    add_force(to)
    return to


def _rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    from labelgen.agreement.consensus import CONSENSUS
    from labelgen.base.registry import require
    from labelgen.evaluation.estimate import estimate
    from labelgen.evaluation.protocol import people_of, with_all_named, with_reference
    from labelgen.evaluation.tasks import about, evaluation_tasks
    from labelgen.metrics.results import Setting

    tasks = evaluation_tasks()
    task = about(tasks, [args.task])[0]
    if task.names is None:
        raise UsageError(f"of {args.task} several names may hold", f"--task {args.task}", "choose outcome or quality")
    require(args.label, task.names, "label")
    setting = Setting(args.reference, args.annotators)
    dialogues = (d for one in with_all_named(open_log(args), setting) for d in with_reference([one], tasks, setting))
    voters = partial(people_of, setting=setting) if args.reference == CONSENSUS else None
    return estimate(dialogues, task, args.label, args.annotator, args.reference, args.slice, args.confidence, voters)


def _shown(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "too few"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
