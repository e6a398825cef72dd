"""Options of a task, without torch, so that configs can be read fast."""

from dataclasses import dataclass
from typing import Annotated, Literal

from labelgen.base.options import Range, Share, WholeNumber


@dataclass(frozen=True)
class TaskOptions:
    """Weight and regularization of a task."""

    weight: Annotated[float, Range(0, least_out=True)] = 1.0
    """weight of the task in the training loss, whose losses are means over units, in nats"""
    label_dropout: Share = 0.3
    """probability that a label is represented by its text alone in a training step, so that unseen labels can be scored; for tasks whose
    labels have texts"""
    pairs: bool = False
    """features of pairs of turns, from the category `speaker`, names in requests, and times; for goals in dialogues of several people"""
    antecedents: Literal["nearest", "any"] = "nearest"
    """what a turn is trained to link to: the nearest earlier turn of its goal, or any of them, whose probabilities add up"""
    ngrams: WholeNumber = 20_000
    """maximum number of n-grams (words and pairs of words) of each text field for the linear member of outcome and quality: logistic
    regression on words, categories and numbers that is averaged with the network; 0 is none, and then labels use no signals"""
    linear_share: Share = 0.5
    """share of the linear member in the average with the network; a validation log adapts it"""
