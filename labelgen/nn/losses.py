"""Losses in nats over soft, weighted, complementary and absent targets.

Each gives a sum over rows and the weight to divide it by, so that a step's loss can be divided by its global weight,
over accumulated batches and processes. A row of weight 0 adds exactly zero to the loss and to every gradient."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from labelgen.features.layout import TargetTensors

NEVER = -1e4
"""Score of a label that cannot be given; finite, so that a gradient through it stays a number."""


@dataclass(frozen=True)
class Loss:
    """total: sum of weighted nats. weight: sum of the weights of the units."""

    total: Float[Tensor, ""]
    weight: Float[Tensor, ""]


def exclusive(scores: Float[Tensor, "rows labels"], target: TargetTensors) -> Loss:
    """Cross-entropy where exactly one label holds, and, where only evidence of it is known, the evidence's own
    -log of the sum over labels of p(label) p(evidence given the label).

    Towards the posterior a model would learn the evidence's doubt besides its own: where feedback is mostly silence, it would
    never be sure. Source: Raykar et al. 2010, "Learning From Crowds", section 2.3. "Not this" is evidence that the named
    labels cannot have: -log(1 - p)."""
    log_p = scores.float().log_softmax(dim=-1)
    nats = -(target.expected * log_p).sum(dim=-1)
    total = _weighted(nats, target.weight)
    if target.likelihood is not None and target.likelihood_weight is not None:
        said = target.likelihood.log().clamp(min=NEVER)
        total = total + _weighted(-(log_p + said).logsumexp(dim=-1), target.likelihood_weight)
    return Loss(total, target.total_weight())


def independent(scores: Float[Tensor, "rows labels"], target: TargetTensors) -> Loss:
    """Binary cross-entropy where any number of labels may hold, each with a weight of its own, and the complement of a
    set of labels as one event: -log(1 - product of p) (DESIGN of partial labels: "they do not all hold")."""
    scores = scores.float()
    nats = F.binary_cross_entropy_with_logits(scores, target.expected, reduction="none")
    weight = target.weight if target.weight.dim() == 2 else target.weight[:, None].expand_as(nats)
    total = torch.where(weight > 0, nats * weight, 0.0).sum()
    if target.complement is not None and target.complement_weight is not None:
        log_joint = torch.where(target.complement, F.logsigmoid(scores), 0.0).sum(dim=-1)
        total = total + _weighted(-torch.log1p(-log_joint.exp().clamp(max=1 - 1e-6)), target.complement_weight)
    return Loss(total, target.total_weight())


def ranking(scores: Float[Tensor, "rows labels"], target: TargetTensors) -> Loss:
    """Every label that holds is to score above every known one that does not, and above 0, the score of "even odds".

    -log of e^s / (e^s + 1 + sum over negatives of e^s'), for each label that holds. Beside `independent` it lets labels
    compete, which many rare labels learn from faster. Source: the zero-bounded ranking loss of Su et al. 2022, "ZLPR: A
    Novel Loss for Multi-label Classification", equation 5, here for soft targets."""
    scores = scores.float()
    weight = target.weight if target.weight.dim() == 2 else target.weight[:, None].expand_as(scores)
    # A name that is half true is half a negative; log 0 takes a true or an unknown one out.
    negative = torch.where(weight > 0, 1.0 - target.expected, 0.0)
    others = (scores + negative.clamp(min=1e-30).log()).masked_fill(negative == 0, NEVER)
    bar = F.pad(others, (1, 0)).logsumexp(dim=-1, keepdim=True)
    nats = target.expected * F.softplus(bar - scores)
    total = torch.where((weight > 0) & (target.expected > 0), nats * weight, 0.0).sum()
    return Loss(total, target.total_weight())


def _weighted(nats: Float[Tensor, " rows"], weight: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    return torch.where(weight > 0, nats * weight, 0.0).sum()


def forbid(
    scores: Float[Tensor, "*rows labels"], allowed: Bool[Tensor, "*rows labels"]
) -> Float[Tensor, "*rows labels"]:
    """Scores with NEVER where a label cannot be given."""
    return scores.masked_fill(~allowed, NEVER)
