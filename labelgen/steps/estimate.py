"""The step of estimation: a log's success rate by labels of a model and of people."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Probability, Range
from labelgen.data.dialogue import Dialogue
from labelgen.steps.changed import place_of


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
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


def estimate_rates(log: Iterable[Dialogue], options: EstimateOptions) -> list[dict[str, Any]]:
    """The rate of the whole log, then of each slice. Raises InputError where the annotator labeled no new dialogue."""
    from labelgen.agreement.consensus import CONSENSUS
    from labelgen.base.registry import require
    from labelgen.evaluation.estimate import estimate
    from labelgen.evaluation.prepare import TRAINED_ON
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
    dialogues = (d for one in with_all_named(log, setting) for d in with_reference([one], tasks, setting))
    voters = partial(people_of, setting=setting) if options.reference == CONSENSUS else None
    rows = estimate(
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
