"""Base of tasks with exactly one label at a place: outcome, quality and order."""

from abc import abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Answers, At, Label, Target
from labelgen.features.layout import Layout, TargetTensors, Voice
from labelgen.nn.structure import Loss, exclusive
from labelgen.tasks.task import Task
from labelgen.verdicts.content import PlaceContent, contents_of


class ExclusiveTask(Task[Float[Tensor, "rows labels"]]):
    """A task whose head gives a row of scores for each place, one score for each of its names."""

    names: ClassVar[tuple[str, ...]]
    has_witnesses: ClassVar[bool] = False
    """Whether its names are verdicts, about which users' reactions say something (verdicts/witnesses.py)."""
    has_member: ClassVar[bool] = False
    """Whether it has a linear member, whose weights on facts are the reasons of its labels; tasks with witnesses have one too."""

    @property
    def uses_member(self) -> bool:
        """Whether it has a linear member and the options do not leave it out."""
        return self.options.ngrams > 0 and (self.has_witnesses or self.has_member)

    @property
    def by_member_alone(self) -> bool:
        return self.uses_member and self.options.linear_share == 1.0

    @abstractmethod
    def places(self, layout: Layout) -> Sequence[tuple[int, At]]:
        """Dialogue and place of each row of the head's output."""

    def contents(
        self,
        dialogue: Dialogue,
        goals: Sequence[tuple[int, ...]],
        places: Sequence[At],
        later: bool,
        voices: Sequence[Voice | None] = (),
    ) -> list[PlaceContent]:
        """What the linear member reads at places of a dialogue. later: later words are no evidence. voices: of the turns."""
        return contents_of(dialogue, places, later, voices)

    def value(self, probabilities: Sequence[float]) -> str | float | None:
        """Value of a label with this distribution."""
        return None

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        places = self.places(layout)
        rows: dict[tuple[int, At], list[Target]] = {place: [] for place in places}
        for b, dialogue in enumerate(targets):
            for target in dialogue:
                if (b, target.at) in rows:
                    rows[b, target.at].append(target)
        return exclusive_rows([rows[place] for place in places], self.index)

    def loss(self, out: Float[Tensor, "rows labels"], target: TargetTensors) -> Loss:
        return exclusive(out, target)

    def decode(
        self, out: Float[Tensor, "rows labels"], layout: Layout, factors: Sequence[Sequence[float]] = ()
    ) -> tuple[Answers, ...]:
        """factors: of the names at each place; the greatest product of factor and probability is the label."""
        labels: list[list[Label]] = [[] for _ in layout.turns]
        rows = softmax_rows(out)
        for (b, at), row, factor in zip(self.places(layout), rows, factors or [()] * len(rows), strict=True):
            labels[b].append(exclusive_label(self.name, at, self.names, row, self.value(row), factor))
        return tuple(map(tuple, labels))


def exclusive_rows(rows: Sequence[Sequence[Target]], index: Mapping[str, int]) -> TargetTensors:
    """One row for each place.

    Several targets at one place, as of annotators who disagree, become their weighted mean; the row's weight is the sum of
    theirs, at most 1. Evidence is a complement. Its likelihoods are multiplied, and its
    weight is the largest. Names outside `index` are ignored; a row without other names has weight 0."""
    expected = torch.zeros(len(rows), len(index))
    weight = torch.zeros(len(rows))
    likelihood = torch.ones(len(rows), len(index))
    likelihood_weight = torch.zeros(len(rows))
    for k, targets in enumerate(rows):
        for target in targets:
            evidence = _evidence(target, index)
            if evidence is not None:
                likelihood[k] *= evidence
                likelihood_weight[k] = max(float(likelihood_weight[k]), target.weight)
            elif target.distribution:
                for name, probability in target.distribution:
                    if name in index:
                        expected[k, index[name]] += target.weight * probability
                weight[k] += target.weight
    mass = expected.sum(dim=1, keepdim=True)
    weight = torch.where(mass[:, 0] > 0, weight.clamp(max=1.0), 0.0)
    expected = torch.where(mass > 0, expected / mass.clamp(min=1e-9), 0.0)
    if not bool(likelihood_weight.any()):
        return TargetTensors(expected, weight)
    return TargetTensors(expected, weight, likelihood=likelihood, likelihood_weight=likelihood_weight)


def _evidence(target: Target, index: Mapping[str, int]) -> Float[Tensor, " labels"] | None:
    """Likelihood of the evidence given each name, 0 or 1; None for a target without evidence."""
    known = [index[name] for name in target.complement or () if name in index]
    if not known or len(known) == len(index):
        return None
    likelihood = torch.ones(len(index))
    likelihood[known] = 0.0
    return likelihood


def exclusive_label(
    task: str,
    at: At,
    names: Sequence[str],
    probabilities: Sequence[float],
    value: str | float | None = None,
    factors: Sequence[float] = (),
) -> Label:
    """The name with the greatest product of probability and factor, without factors the most probable one; ties go to the first."""
    products = [p * f for p, f in zip(probabilities, factors, strict=True)] if factors else probabilities
    best = max(range(len(names)), key=lambda k: (products[k], -k))
    return Label(task, at, names[best], probabilities[best], value, tuple(zip(names, probabilities, strict=True)))


def softmax_rows(scores: Float[Tensor, "rows K"]) -> list[Sequence[float]]:
    """Softmax of each row in double precision, so that rounding cannot make a sum larger than one."""
    rows = scores.double().softmax(dim=-1).cpu().numpy()
    # Compact, because a long dialogue has hundreds of links for each turn.
    return [array("d", row.tobytes()) for row in rows]
