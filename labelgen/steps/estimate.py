"""The step of estimation: a log's success rate by labels of a model and of people."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Probability, Range
from labelgen.data.dialogue import Dialogue
from labelgen.steps.changed import place_of

if TYPE_CHECKING:
    from labelgen.tasks.evaluation import EvaluationTask


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
    from labelgen.evaluation.prepare import TRAINED_ON
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
