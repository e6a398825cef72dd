"""labelgen estimate and plan: a log's success rate by labels of a model and of people, and the precision of planned annotations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import Count, Probability, Range, Share
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, joined_names, open_log


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
    setting = Setting(options.reference, joined_names(options.annotators))
    dialogues = (
        d
        for one in with_all_named(open_log(options, options.log), setting)
        for d in with_reference([one], tasks, setting)
    )
    voters = partial(people_of, setting=setting) if options.reference == CONSENSUS else None
    return estimate(
        dialogues, task, options.label, options.annotator, options.reference, options.slice, options.confidence, voters
    )


def _shown(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "too few"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


ESTIMATE = Command("estimate", EstimateOptions, estimate_command, "labelgen estimate labeled.jsonl --slice domain")


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Predict the intervals and certificates that a planned number of dialogues and votes would give."""

    dialogues: Annotated[int, Range(2), "N"]
    """number of dialogues that people annotate"""
    votes: Count
    """number of people who annotate each of them"""
    rate: Annotated[Probability, "RATE"] = 0.8
    """expected rate, such as the share of goals reached"""
    annotator_error: Annotated[float, Range(0, 0.5, least_out=True, most_out=True), "SHARE"] = 0.1
    """share of answers that one person gets wrong"""
    answers: Annotated[float, Range(1), "N"] = 1.0
    """number of judged answers in a dialogue"""
    within: Annotated[Share, "RHO"] = 0.2
    """correlation between the answers of a dialogue"""
    max_error: Annotated[Probability, "SHARE"] = 0.03
    """share of wrong labels to be certified"""
    confidence: Probability = 0.95
    """confidence level of intervals and certificates"""


def plan(options: PlanOptions) -> None:
    """Print what the plan would give."""
    for line in plan_lines(options):
        print_lines(line)


def plan_lines(options: PlanOptions) -> Iterator[str]:
    """What the plan would give, a line for each result."""
    from labelgen.confidence.planning import Plan, certifiable, promise
    from labelgen.metrics.results import Interval

    def shown(interval: Interval) -> str:
        return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"

    planned = Plan(
        items=options.dialogues,
        votes=options.votes,
        rate=options.rate,
        annotator_error=options.annotator_error,
        answers=options.answers,
        within=options.within,
        confidence=options.confidence,
    )
    result = promise(planned)
    yield f"{planned.items:,} dialogues, {planned.votes} votes each: {planned.items * planned.votes:,} annotations"
    if planned.answers > 1:
        yield f"  {planned.answers:g} answers a dialogue tell as much as {result.independent:,.0f} independent ones"
    yield f"  a rate of {planned.rate:.3f}: measured as {shown(result.measured)}; by one person's labels {shown(result.alone)}"
    left = f", and leaves {result.ties:.1%} open" if result.ties else ""
    yield f"  the consensus is wrong in {result.wrong:.1%}{left}, if people err alone in {planned.annotator_error:.1%}"
    yield f"  against it, who is always right scores {result.perfect:.3f}, one more person {result.single:.3f}"
    # Where the votes on all answers of a dialogue tie, nobody is judged on it; its answers count as so many independent ones.
    judged = max(1, round(planned.items // 2 * (1 - result.ties ** (result.independent / planned.items))))
    least, errors = certifiable(judged, options.max_error, planned.confidence)
    allowed = "none of them may be wrong, and that is not enough" if errors is None else f"{errors:,} may be wrong"
    yield (
        f"  labelgen certify uses {judged:,} of them: {options.max_error:.1%} at {planned.confidence:.0%}, {allowed}; "
        f"without an error {least:.1%}"
    )


PLAN = Command("plan", PlanOptions, plan, "labelgen plan --dialogues 400 --votes 3")
