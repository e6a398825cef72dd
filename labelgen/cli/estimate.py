"""labelgen estimate: a log's success rate by labels of a model and of people."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from labelgen.base.files import fresh_file, write_text
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, open_log
from labelgen.steps.estimate import EstimateOptions, estimate_rates


@dataclass(frozen=True, kw_only=True)
class EstimateCommand(EstimateOptions, LogOptions, ForceOptions):
    out: Annotated[Path | None, "FILE"] = None
    """JSON file to write with every number"""


def estimate_command(options: EstimateCommand) -> None:
    """Print the rates, and write them where a file is named."""
    if options.out is not None:
        fresh_file(options.out, options.force)
    from labelgen.evaluation.prepare import DIFFICULT

    rows = estimate_rates(open_log(options, options.log), options)
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


def _shown(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "too few"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


ESTIMATE = Command("estimate", EstimateCommand, estimate_command, "labelgen estimate labeled.jsonl --slice domain")
