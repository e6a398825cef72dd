"""The step from a labeled log to training data for the next assistant."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from labelgen.base.options import Share
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import require_annotators
from labelgen.feedback.training_data import Form, training_records


@dataclass(frozen=True, kw_only=True)
class TrainingDataOptions:
    """Export training data for the next assistant from a labeled log, as JSON Lines: chats that reached their goal, pairs of a preferred
    and a rejected response, or requests with intents and slots."""

    form: Form
    """sft: `messages` of each goal that was reached; preferences: `prompt`, `chosen` and `rejected`, from regenerations, edits and requests
    that were made again; nlu: `text`, `intents` and `slots` of each turn"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator whose labels are used"""
    min_probability: Share = 0.0
    """probability below which a label gives no record"""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Records that are made while a log is read, once. left_out: reasons for what gave no record, complete after the last one."""

    records: Iterator[dict[str, Any]]
    left_out: Counter[str] = field(default_factory=Counter)


def training_data(dialogues: Iterable[Dialogue], options: TrainingDataOptions) -> TrainingData:
    """The records of the dialogues. Raises UsageError for an annotator that no dialogue has; preferences need none."""
    needed = () if options.form == "preferences" else (options.annotator,)

    def records() -> Iterator[dict[str, Any]]:
        for dialogue in require_annotators(dialogues, needed, "--annotator"):
            yield from training_records(
                dialogue, options.form, options.annotator, made.left_out, options.min_probability
            )

    made = TrainingData(records())
    return made
