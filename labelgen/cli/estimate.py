"""labelgen estimate: a log's success rate by labels of a model and of people."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import Probability, Range
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, open_log


@dataclass(frozen=True, kw_only=True)
class EstimateOptions(LogOptions, ForceOptions):
    """Estimate how often goals are reached in a log that a model labeled whole, and people in a random part: by people's labels alone, and
    by both (prediction-powered inference)."""

    slice: Annotated[tuple[str, ...], "FIELD"] = ()
    """field whose values are estimated by themselves: source, device, domain, length, interleaved, locale or user"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator name of the model"""
    reference: Annotated[str, "NAME"] = "consensus"
    """reference that the model is compared with: consensus, or an annotator"""
    annotators: Annotated[tuple[str, ...], "WHO"] = ("kind=person",)
    """annotators whose labels make the consensus: names, or kind=person for all people"""
    task: Annotated[str, "NAME"] = "outcome"
    """task of which exactly one name holds"""
    label: Annotated[str, "NAME"] = "success"
    """name whose share is estimated"""
    confidence: Probability = 0.95
    """confidence level of each interval by itself"""
    plan: Annotated[int | None, Range(10), "N"] = None
    """number of dialogues labeled by people for which intervals are expected, by the spread in this log"""
    out: Annotated[Path | None, "FILE"] = None
    """JSON file to write with every number"""


def estimate_command(options: EstimateOptions) -> None:
    """Print the rates, and write them where a file is named."""
    if options.out is not None:
        fresh_file(options.out, options.force)
    rows = _rows(options)
    from labelgen.evaluation.prepare import DIFFICULT, TRAINED_ON

    if rows[0]["trained_on"] and not rows[0]["dialogues"]:
        raise InputError(
            f"no dialogue is left that is new to {options.annotator}: {TRAINED_ON}",
            ", ".join(options.log),
            "label a log that it was not trained on",
        )
    if not rows[0]["dialogues"]:
        raise InputError(
            f"no dialogue is annotated by {options.annotator}",
            ", ".join(options.log),
            "label the log first, or name who labeled it by --annotator",
        )
    names = [
        row["slice"] if len(set(options.slice)) < 2 or row["by"] is None else f"{row['by']}: {row['slice']}"
        for row in rows
    ]
    width = max(map(len, ("slice", *names)))
    print_lines(f"share of {options.label} among {options.task}, {options.confidence:.0%} intervals")
    print_lines(f"{'slice':<{width}} {'dialogues':>9} {'by people':>9}  {'people alone':<24}  {'people and model':<24}")
    for name, row in zip(names, rows, strict=True):
        print_lines(
            f"{name:<{width}} {row['dialogues']:>9,} {row['labeled_by_people']:>9,}  "
            f"{_shown(row['people_alone']):<24}  {_shown(row['prediction_powered'])}"
        )
        if options.plan is not None:
            print_lines(
                f"{'':<{width}} {'with':>9} {options.plan:>9,}  {_shown(row['planned_people_alone']):<24}  "
                f"{_shown(row['planned_prediction_powered'])}"
            )
    if not rows[0]["labeled_by_people"]:
        who = "two people of one mind" if options.reference == "consensus" else options.reference
        print_lines(f"no dialogue has {options.task} by {who}; where one person annotated, name them: --reference NAME")
    if trained := rows[0]["trained_on"]:
        print_lines(
            f"{trained:,} dialogues are left out: {options.annotator} was trained on them, and its labels there are too good"
        )
    if difficult := rows[0]["drawn_for_difficulty"]:
        print_lines(
            f"of {difficult:,} dialogues people's labels are passed over: {DIFFICULT}; draw some with `labelgen review sample "
            "--strategy audit`"
        )
    if divided := rows[0]["people_divided"]:
        print_lines(
            f"in {divided:,} dialogues people are divided about {options.task}: the rates are of what they agree on, and biased where "
            "that is easier; a third vote, or --reference NAME, decides"
        )
    if options.out is not None:
        write_text(options.out, msgspec.json.format(msgspec.json.encode(rows), indent=1).decode() + "\n")


def _rows(options: EstimateOptions) -> list[dict[str, Any]]:
    from labelgen.agreement.consensus import CONSENSUS
    from labelgen.base.registry import require
    from labelgen.evaluation.estimate import estimate
    from labelgen.evaluation.protocol import people_of, with_all_named, with_reference
    from labelgen.metrics.results import Setting
    from labelgen.tasks.evaluation import about, evaluation_tasks

    tasks = evaluation_tasks()
    task = about(tasks, [options.task])[0]
    if task.names is None:
        raise UsageError(
            f"of {options.task} several names may hold", f"--task {options.task}", "choose outcome or quality"
        )
    require(options.label, task.names, "label")
    setting = Setting(options.reference, options.annotators)
    dialogues = (
        d
        for one in with_all_named(open_log(options, options.log), setting)
        for d in with_reference([one], tasks, setting)
    )
    voters = partial(people_of, setting=setting) if options.reference == CONSENSUS else None
    return estimate(
        dialogues,
        task,
        options.label,
        options.annotator,
        options.reference,
        options.slice,
        options.confidence,
        voters,
        options.plan,
    )


def _shown(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "too few"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


ESTIMATE = Command("estimate", EstimateOptions, estimate_command, "labelgen estimate labeled.jsonl --slice domain")
