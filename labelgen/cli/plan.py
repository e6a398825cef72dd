"""labelgen plan: what a number of dialogues and votes would show, before anyone annotates."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from labelgen.base.errors import UsageError
from labelgen.base.printable import print_lines
from labelgen.cli.arguments import parser

if TYPE_CHECKING:
    from labelgen.confidence.planning import Plan
    from labelgen.confidence.resampling import Interval


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    from labelgen.confidence.planning import Plan

    plan = Plan(
        items=args.items,
        votes=args.votes,
        rate=args.rate,
        annotator_error=args.annotator_error,
        answers=args.answers,
        within=args.within,
        confidence=args.confidence,
    )
    for line in told(plan, args.max_error):
        print_lines(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "plan",
        "Say what intervals and certificates a planned number of dialogues and votes would give.",
        "labelgen plan --items 400 --votes 3",
    )
    to.add_argument("--items", type=int, required=True, metavar="N", help="dialogues that people annotate")
    to.add_argument("--votes", type=int, required=True, metavar="V", help="people for each of them")
    to.add_argument("--rate", type=float, default=0.8, help="the rate you expect, such as goals reached (%(default)s)")
    to.add_argument(
        "--annotator-error", type=float, default=0.1, metavar="SHARE", help="how often one person errs (%(default)s)"
    )
    to.add_argument("--answers", type=float, default=1.0, metavar="N", help="judged a dialogue (%(default)s)")
    to.add_argument(
        "--within",
        type=float,
        default=0.2,
        metavar="RHO",
        help="0 to 1, how much the answers of a dialogue resemble each other (%(default)s)",
    )
    to.add_argument("--max-error", type=float, default=0.03, metavar="SHARE", help="to be certified (%(default)s)")
    to.add_argument("--confidence", type=float, default=0.95, metavar="P", help="default %(default)s")
    return to


def _check(args: argparse.Namespace) -> None:
    for name, low, high in (("items", 2, None), ("votes", 1, None), ("answers", 1, None), ("within", 0, 1)):
        value = getattr(args, name)
        if value < low or (high is not None and value > high):
            span = f"{low} or more" if high is None else f"{low} to {high}"
            raise UsageError(f"--{name} {value} cannot be planned", f"--{name}", f"give {span}")
    for name, bound in (("rate", 1.0), ("annotator_error", 0.5), ("max_error", 1.0), ("confidence", 1.0)):
        if not 0 < getattr(args, name) < bound:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is not between 0 and {bound:g}", option, f"give a share below {bound:g}")


def told(plan: "Plan", max_error: float) -> Iterator[str]:
    """For people, a line for each thing that is promised."""
    from labelgen.confidence.planning import certifiable, promise

    found = promise(plan)
    yield f"{plan.items:,} dialogues, {plan.votes} votes each: {plan.items * plan.votes:,} annotations"
    if plan.answers > 1:
        yield f"  {plan.answers:g} answers a dialogue tell as much as {found.independent:,.0f} independent ones"
    yield f"  a rate of {plan.rate:.3f}: measured as {_shown(found.measured)}; by one person's labels {_shown(found.alone)}"
    left = f", and leaves {found.ties:.1%} open" if found.ties else ""
    yield f"  the consensus is wrong in {found.wrong:.1%}{left}, if people err alone in {plan.annotator_error:.1%}"
    yield f"  against it, who is always right scores {found.perfect:.3f}, one more person {found.single:.3f}"
    # Where the votes on all answers of a dialogue tie, nobody is judged on it; its answers count as so many independent ones.
    judged = max(1, round(plan.items // 2 * (1 - found.ties ** (found.independent / plan.items))))
    least, errors = certifiable(judged, max_error, plan.confidence)
    allowed = "none of them may be wrong, and that is not enough" if errors is None else f"{errors:,} may be wrong"
    yield (
        f"  labelgen calibrate certifies on {judged:,} of them: {max_error:.1%} at {plan.confidence:.0%}, {allowed}; "
        f"without an error {least:.1%}"
    )


def _shown(interval: "Interval") -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
