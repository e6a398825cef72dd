"""The steps of estimation by labels of a model and of people: a log's success rate, and its change with a release."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Probability, Range
from labelgen.base.process import command_line
from labelgen.data.dialogue import Dialogue
from labelgen.steps.shared import place_of

if TYPE_CHECKING:
    from labelgen.evaluation.estimate import CountedDialogue
    from labelgen.metrics.results import RateDifference, ReleaseComparison
    from labelgen.tasks.evaluation import EvaluationTask

    _Placed = list[tuple[str, str | None, CountedDialogue]]
    """Side, period, and what the dialogue adds to a rate."""


@dataclass(frozen=True, kw_only=True)
class RateOptions:
    """Whose labels a rate is estimated from."""

    slice: Annotated[tuple[str, ...], "FIELD"] = ()
    """field whose values are estimated by themselves: source, device, domain, length, interleaved, locale, user, day, week, month, or any other field
    of the log, such as version"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator name of the model"""
    reference: Annotated[str, "NAME"] = "consensus"
    """reference that the model is compared with: consensus, or an annotator"""
    annotators: Annotated[tuple[str, ...], "WHO"] = ("kind=person",)
    """annotators whose labels make the consensus: names, or kind=person for all people"""
    confidence: Probability = 0.95
    """confidence level of each interval by itself"""


@dataclass(frozen=True, kw_only=True)
class EstimateOptions(RateOptions):
    """Estimate how often goals are reached in a log that a model labeled whole, and people in a random part: by people's labels alone, and
    by both (prediction-powered inference)."""

    task: Annotated[str, "NAME"] = "outcome"
    """task of which exactly one name holds"""
    label: Annotated[str, "NAME"] = "success"
    """name whose share is estimated"""
    plan: Annotated[int | None, Range(10), "N"] = None
    """number of dialogues labeled by people for which intervals are expected, by the spread in this log"""


def rate_task(task: str, label: str, option: str) -> "EvaluationTask":
    """The task of a rate. Raises UsageError for a task of which several names may hold, and for an unknown name."""
    from labelgen.base.registry import require
    from labelgen.tasks.evaluation import about, evaluation_tasks

    chosen = about(evaluation_tasks(), [task])[0]
    if chosen.names is None:
        raise UsageError(f"of {task} several names may hold", option, "choose outcome or quality")
    require(label, chosen.names, "label")
    return chosen


def with_references(
    log: Iterable[Dialogue], options: RateOptions, elsewhere: Iterable[Dialogue] = ()
) -> Iterator[Dialogue]:
    """The dialogues with the reference's annotations. elsewhere: further dialogues in which an annotator may be."""
    from labelgen.evaluation.protocol import with_all_named, with_reference
    from labelgen.metrics.results import Setting
    from labelgen.tasks.evaluation import evaluation_tasks

    tasks, setting = evaluation_tasks(), Setting(options.reference, options.annotators)
    for one in with_all_named(log, setting, elsewhere):
        yield from with_reference([one], tasks, setting)


def estimate_rates(log: Iterable[Dialogue], options: EstimateOptions) -> list[dict[str, Any]]:
    """The rate of the whole log, then of each slice. Raises InputError where the annotator labeled no new dialogue."""
    from labelgen.agreement.consensus import CONSENSUS
    from labelgen.evaluation.estimate import estimate
    from labelgen.evaluation.evaluate import TRAINED_ON
    from labelgen.evaluation.protocol import people_of
    from labelgen.metrics.results import Setting

    voters = partial(people_of, setting=Setting(options.reference, options.annotators))
    rows = estimate(
        with_references(log, options),
        rate_task(options.task, options.label, f"--task {options.task}"),
        options.label,
        options.annotator,
        options.reference,
        options.slice,
        options.confidence,
        voters if options.reference == CONSENSUS else None,
        options.plan,
    )
    if rows[0]["trained_on"] and not rows[0]["dialogues"]:
        raise InputError(
            f"no dialogue is left that is new to {options.annotator}: {TRAINED_ON}",
            place_of(log),
            "label a log that it was not trained on",
        )
    if not rows[0]["dialogues"]:
        raise InputError(
            f"no dialogue is annotated by {options.annotator}",
            place_of(log),
            "label the log first, or name who labeled it by --annotator",
        )
    return rows


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


def compare_release(logs: Sequence[Iterable[Dialogue]], options: DiffOptions) -> "ReleaseComparison":
    """The changes of all rates. logs: the one before and the one after, or with `by` one log.

    Raises UsageError for logs and options that make no two sides, InputError for dialogues that do, or that the annotator did not label."""
    from labelgen.evaluation.estimate import SIDES, count_dialogue, place_in, with_fields
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
    from labelgen.evaluation.estimate import SIDES, differences, natural_order, period_rates
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
