"""Registry of the tasks of a model, one file and one line each, and their options; without torch, so that configs can be read fast."""

from dataclasses import dataclass
from typing import Annotated, Literal

from labelgen.base.options import Range, Share, WholeNumber
from labelgen.base.registry import Registry

TASKS = Registry(
    "labelgen.tasks",
    {
        "goals": "labelgen.tasks.goals:Goals",
        "outcome": "labelgen.tasks.outcome:Outcome",
        "quality": "labelgen.tasks.quality:Quality",
        "intents": "labelgen.tasks.intents:Intents",
        "slots": "labelgen.tasks.slots:Slots",
        "cause": "labelgen.tasks.cause:Cause",
        "order": "labelgen.tasks.order:Order",
        "selection": "labelgen.tasks.selection:Selection",
    },
)


@dataclass(frozen=True)
class TaskOptions:
    """Weight and members of a task."""

    weight: Annotated[float, Range(0, least_out=True)] = 1.0
    """weight of the task in the training loss, whose losses are means over units, in nats"""
    pairs: bool = False
    """features of pairs of turns, from the category `speaker`, names in requests, and times; for goals in dialogues of several people"""
    antecedents: Literal["nearest", "any"] = "nearest"
    """what a turn is trained to link to: the nearest earlier turn of its goal, or any of them, whose probabilities add up"""
    ngrams: WholeNumber = 20_000
    """maximum number of n-grams (words and pairs of words) of each text field for the linear member of outcome and quality: logistic
    regression on words, categories and numbers that is averaged with the network; 0 is none, and then labels use no signals"""
    linear_share: Share = 0.5
    """share of the linear member in the average with the network; a validation log adapts it"""
