"""The contract of a task: one object that knows its labels, targets, head, loss, decoding and metrics.

The rest of labelgen loops over tasks and never asks for one by name. To add a task, write its file and one line in the
registry (tasks/__init__.py)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import Answers, Target, Unit
from labelgen.features.layout import Layout, TargetTensors
from labelgen.kernels.device import to_device
from labelgen.nn.structure import Loss
from labelgen.tasks import TaskOptions

Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Widths:
    """encoder: d of pooled texts and tokens. dialogue: D of turn states."""

    encoder: int
    dialogue: int


class Task(ABC, Generic[Out]):
    """One question that a model answers, with its head, loss and decoding. Out is what the head gives; only the task knows its form.

    Attributes:
        units: what its labels are about.
        metrics: names of the registry of metrics.
        names: its labels where they are the same in every log; None where they come from the log.
        divides: its labels divide the dialogue into goals, so it is decoded before the tasks about goals.
        reads_tokens: its head reads token states.
        reads_alone: its head reads turns without their dialogue too.
        gives_several: several of its labels may hold at one place; which do is learned from its targets.
        reads_label_texts: its labels are scored by their texts.
        hides_response: its states hide the responses of its target turns and all later turns.
        idle: names of labels that say that there is nothing to say; they need no reason, and certificates do not count them."""

    name: ClassVar[str]
    units: ClassVar[tuple[Unit, ...]]
    metrics: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...] | None] = None
    divides: ClassVar[bool] = False
    reads_tokens: ClassVar[bool] = False
    reads_alone: ClassVar[bool] = False
    gives_several: ClassVar[bool] = False
    reads_label_texts: ClassVar[bool] = False
    hides_response: ClassVar[bool] = False
    idle: ClassVar[tuple[str, ...]] = ()

    def __init__(self, labels: LabelSet, options: TaskOptions) -> None:
        self.labels = labels
        self.options = options
        self.index = labels.index()
        self._allowed: dict[tuple[str | None, tuple[str, ...] | None], Bool[Tensor, " K"]] = {}

    @property
    def reads_relations(self) -> bool:
        """Whether its head reads how turns relate (Layout.relations)."""
        return False

    @property
    def by_member_alone(self) -> bool:
        """Whether no head answers it: its linear member has the whole share of the average."""
        return False

    @abstractmethod
    def head(self, widths: Widths) -> nn.Module:
        """A module whose forward maps (States, Layout) to Out."""

    @abstractmethod
    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """Targets of this task, for each dialogue, as tensors; what is absent has weight 0."""

    @abstractmethod
    def loss(self, out: Out, target: TargetTensors) -> Loss:
        """Sum of weighted nats, and the weight it is to be divided by."""

    @abstractmethod
    def decode(self, out: Out, layout: Layout) -> tuple[Answers, ...]:
        """For each dialogue the most probable labels, each with its probability, whatever that is."""

    def inform(self, answers: Sequence[Answers], layout: Layout) -> Layout:
        """The layout with what later tasks may know of the answers of this one."""
        return layout

    def of_source(self, layout: Layout) -> Bool[Tensor, "B K"]:
        """Labels that each dialogue's source could give."""
        return self._rows([(source, None) for source in layout.sources], layout)

    def allowed(self, layout: Layout) -> Bool[Tensor, "B K"]:
        """The same, of the domains on offer in a dialogue where these are known."""
        return self._rows(list(zip(layout.sources, layout.domains, strict=True)), layout)

    def _rows(self, keys: Sequence[tuple[str | None, tuple[str, ...] | None]], layout: Layout) -> Bool[Tensor, "B K"]:
        rows = []
        for key in keys:
            if key not in self._allowed:
                if len(self._allowed) == _MOST_KEPT:
                    self._allowed.clear()
                row = torch.zeros(len(self.labels.names), dtype=torch.bool)
                row[list(self.labels.within(*key))] = True
                self._allowed[key] = row
            rows.append(self._allowed[key])
        return to_device(torch.stack(rows), layout.position.device)


_MOST_KEPT = 1024
"""Sets of domains that the allowed labels are remembered of; users may differ in what is on offer."""


def fixed_labels(task: type[Task[Out]]) -> LabelSet | None:
    """The label set of a task whose names are the same everywhere."""
    if task.names is None:
        return None
    return LabelSet(task.name, tuple(LabelName(n) for n in task.names), {})
