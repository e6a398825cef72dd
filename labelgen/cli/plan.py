"""labelgen plan: what a number of dialogues and votes would show, before anyone annotates."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from labelgen.base.options import Count, Probability, Range, Share
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command


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
