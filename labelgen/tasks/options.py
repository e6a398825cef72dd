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
    ngrams: WholeNumber = 0
    """maximum number of n-grams (words and pairs of words) of each text field for a linear member: logistic regression on a bag of words
    that is averaged with the network; 0 is none; for tasks with exactly one label at a place"""
    linear_share: Share = 0.5
    """share of the linear member in the average with the network; a validation log adapts it"""
    parts: bool = False
    """labels of a dialogue by regression on the scores of its turns and goals, in place of the mean of its turns' states; for tasks about
    dialogues"""
    without_texts: bool = False
    """a second network that reads the features of turns but not their texts, averaged with the first; it overfits less with few labels; for
    tasks with exactly one label at a place"""
