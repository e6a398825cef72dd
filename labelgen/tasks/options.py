"""What can be set of a task; without torch, so that configs can be read fast."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskOptions:
    """Each task, by its name"""

    weight: float = 1.0
    """Share of the task in the training loss; its loss is a mean over its units, in nats."""
    label_dropout: float = 0.3
    """Probability that a label is known by its text alone in a training step, so that unseen labels can be scored too;
    read by tasks whose labels have texts."""
