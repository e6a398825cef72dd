"""Losses in nats for soft, weighted, complementary and missing targets.

Each returns a sum over rows and the sum of weights, so that a step's loss can be divided by its total weight over
accumulated batches and processes. A row of weight 0 adds exactly zero to the loss and to every gradient."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from labelgen.features.layout import TargetTensors

NEVER = -1e4
"""Score of a label that is not allowed; finite, so that gradients are finite."""


@dataclass(frozen=True)
class Loss:
    """A weighted loss. total: weighted sum in nats. weight: sum of the weights."""

    total: Float[Tensor, ""]
    weight: Float[Tensor, ""]


def exclusive(scores: Float[Tensor, "rows labels"], target: TargetTensors) -> Loss:
    """Cross-entropy for mutually exclusive labels, plus the marginal likelihood of evidence:
    -log of the sum over labels of p(label) p(evidence given the label).

    Source: Raykar et al. 2010, "Learning From Crowds", section 2.3. A complement is evidence with likelihood 0 for the named labels:
    -log(1 - p)."""
    log_p = scores.float().log_softmax(dim=-1)
    nats = -(target.expected * log_p).sum(dim=-1)
    total = _weighted(nats, target.weight)
    if target.likelihood is not None and target.likelihood_weight is not None:
        log_likelihood = target.likelihood.log().clamp(min=NEVER)
        total = total + _weighted(-(log_p + log_likelihood).logsumexp(dim=-1), target.likelihood_weight)
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
    """Scores with NEVER for labels that are not allowed."""
    return scores.masked_fill(~allowed, NEVER)
