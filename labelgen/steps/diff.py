"""The step of a release comparison: how rates of failure and dissatisfaction changed, between two logs or two sides of one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Probability
from labelgen.base.process import command_line
from labelgen.steps.changed import place_of
from labelgen.steps.estimate import RateOptions, rate_task, with_references

if TYPE_CHECKING:
    from labelgen.data.dialogue import Dialogue
    from labelgen.evaluation.estimate import CountedDialogue
    from labelgen.metrics.results import RateDifference, ReleaseComparison

    _Placed = list[tuple[str, str | None, CountedDialogue]]
    """Side, period, and what the dialogue adds to a rate."""


@dataclass(frozen=True, kw_only=True)
class DiffOptions(RateOptions):
    """Estimate whether a release helped: the difference of rates between two logs, or two sides of one log, that a model labeled whole and people in
    a random part, with its interval (prediction-powered inference over users)."""

    rate: Annotated[tuple[str, ...], "TASK=LABEL"] = ("outcome=failure", "quality=bad")
    """label whose share is compared; tasks that the model did not answer are left out"""
    by: Annotated[str | None, "FIELD"] = None
    """field of one log whose values are the sides, each compared with the one before it: week, day, month, version, or any other category"""
    release: Annotated[str | None, "VALUE"] = None
    """first value of `--by` after the release, such as 2.1, or its date for day, week and month; all before it are one side, all others the other"""
    width: Probability = 0.1
    """width of the interval for which the number of labels is given"""
    false_alarms: Probability = 0.05
    """chance of any false alarm, over all periods of one rate"""


def compare_release(logs: "Sequence[Iterable[Dialogue]]", options: DiffOptions) -> "ReleaseComparison":
    """The changes of all rates. logs: the one before and the one after, or with `by` one log.

    Raises UsageError for logs and options that make no two sides, InputError for dialogues that do, or that the annotator did not label."""
    from labelgen.evaluation.difference import SIDES, place_in
    from labelgen.evaluation.estimate import count_dialogue, with_fields
    from labelgen.metrics.results import ReleaseComparison

    if (options.by is None) != (len(logs) == 2) or (options.release is not None and options.by is None):
        raise UsageError(
            "two logs are two sides, and one log needs a field", "--by", "name the logs before and after, or --by"
        )
    pairs = [(task, label) for task, _, label in (text.partition("=") for text in options.rate)]
    tasks = [rate_task(task, label, f"--rate {task}={label}") for task, label in pairs]
    placed: list[_Placed] = [[] for _ in pairs]
    fields = (*options.slice, *([options.by] if options.by else ()))
    for log, name in zip(logs, SIDES, strict=False):
        others = (dialogue for other in logs if other is not log for dialogue in other)
        for dialogue in with_fields(with_references(log, options, others), fields):
            side, period = place_in(dialogue, name, options.by, options.release, options.annotator)
            for task, (_, label), rows in zip(tasks, pairs, placed, strict=True):
                who = options.annotator, options.reference, options.slice
                if side is not None and (counted := count_dialogue(dialogue, task, label, *who)) is not None:
                    rows.append((side, period, counted))
    where = ", ".join(map(place_of, logs))
    answered = [k for k, rows in enumerate(placed) if any(counted.model[1] for *_, counted in rows)]
    rates = [_rate(placed[k], pairs[k], options, where) for k in answered]
    if not rates:
        hint = "label the logs first, name who labeled them by --annotator, or another rate by --rate"
        raise InputError(f"{options.annotator} answered none of {', '.join(options.rate)}", where, hint)
    return ReleaseComparison(
        command=command_line(),
        by=options.by,
        release=options.release,
        level=options.confidence,
        width=options.width,
        false_alarms=options.false_alarms,
        rates=rates,
    )


def _rate(placed: "_Placed", pair: tuple[str, str], options: DiffOptions, where: str) -> "RateDifference":
    from labelgen.evaluation.difference import SIDES, differences, natural_order, period_rates
    from labelgen.metrics.results import RateDifference

    new = [row for row in placed if not row[2].trained_on]
    sides: dict[str, list[CountedDialogue]] = {}
    periods: dict[tuple[str, str], list[CountedDialogue]] = {}
    in_time = sorted(new, key=lambda row: (row[0] != SIDES[0], natural_order(row[0]), natural_order(row[1] or "")))
    for side, period, counted in in_time:
        sides.setdefault(side, []).append(counted)
        if period is not None:
            periods.setdefault((side, period), []).append(counted)
    if len(sides) < 2:
        hint = "name logs of both sides, or another --by or --release; training dialogues do not count"
        raise InputError(f"there are no two sides with dialogues, but {', '.join(sides) or 'none'}", where, hint)
    rates = period_rates(periods, options.confidence)
    return RateDifference(
        task=pair[0],
        label=pair[1],
        trained_on=len(placed) - len(new),
        differences=differences(sides, options.slice, options.confidence, options.width, options.reference),
        periods=rates,
        alarm=next((x for x in rates if x.p_value is not None and x.p_value <= options.false_alarms), None),
    )
