"""Targets and answers of tasks of which exactly one label holds at a place; shared by outcome, quality and order."""

from array import array
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from labelgen.data.labels import At, Label, Target
from labelgen.features.layout import TargetTensors


def exclusive_rows(rows: Sequence[Sequence[Target]], index: Mapping[str, int]) -> TargetTensors:
    """One row for each place. Several targets at one place (annotators who differ) become their mean, weighted; the
    row's weight is their sum, at most 1. Evidence (a complement, or a posterior with its prior) multiplies, and weighs as the
    heaviest of it. Names outside `index` are left out; a row that has no other is absent."""
    expected = torch.zeros(len(rows), len(index))
    weight = torch.zeros(len(rows))
    likelihood = torch.ones(len(rows), len(index))
    likelihood_weight = torch.zeros(len(rows))
    for k, targets in enumerate(rows):
        for target in targets:
            said = _evidence(target, index)
            if said is not None:
                likelihood[k] *= said
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
    """How likely the evidence is given each name, at most 1; None of a target that tells no evidence."""
    said = torch.ones(len(index))
    if target.complement is not None:
        known = [index[name] for name in target.complement if name in index]
        if not known or len(known) == len(index):
            return None
        said[known] = 0.0
    elif target.distribution and target.prior:
        for (name, posterior), (_, prior) in zip(target.distribution, target.prior, strict=True):
            if name in index:
                said[index[name]] = posterior / prior
        said /= said.amax().clamp(min=1e-30)
    else:
        return None
    return said


def exclusive_label(
    task: str, at: At, names: Sequence[str], probabilities: Sequence[float], value: str | float | None = None
) -> Label:
    """The most probable name; a tie goes to the first."""
    best = max(range(len(names)), key=lambda k: (probabilities[k], -k))
    return Label(task, at, names[best], probabilities[best], value, tuple(zip(names, probabilities, strict=True)))


def softmax_rows(scores: Float[Tensor, "rows K"]) -> list[Sequence[float]]:
    """Probabilities of each row, as plain numbers; in double precision, so that rounding cannot lift a sum above one."""
    rows = scores.double().softmax(dim=-1).cpu().numpy()
    # Packed numbers: a long dialogue has hundreds of links for each turn.
    return [array("d", row.tobytes()) for row in rows]
