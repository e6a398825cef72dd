"""Scores of labels by their texts, so that a label that was never trained on can be scored too."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.kernels.batch_invariant import score_rows


class LabelScorer(nn.Module):
    """score(query, label) = query . (text of the label + what was learned of it beyond its text).

    The second part is zero for a label that was not trained on, and is dropped now and then in training, so that the
    text alone learns to carry the score. The product is not scaled down by its width: steps of AdamW are of one size, so
    scores would then grow by less in each (measured, docs/explanation/decisions.md). Sources: Larochelle et al. 2008, "Zero-data learning of new tasks"; Obeidat et
    al. 2019, "Description-Based Zero-shot Fine-Grained Entity Typing"."""

    def __init__(self, query_width: int, label_width: int, labels: int, inner: int, label_dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, inner)
        self.text = nn.Linear(label_width, inner)
        self.own = nn.Parameter(torch.zeros(labels, inner))
        self.own_bias = nn.Parameter(torch.zeros(labels))
        self.bias = nn.Parameter(torch.tensor(-3.0))
        self.label_dropout = label_dropout

    def forward(self, queries: Float[Tensor, "rows q"], labels: Float[Tensor, "K d"]) -> Float[Tensor, "rows K"]:
        text = self.text(labels)
        if self.training and self.label_dropout:
            known = (torch.rand(len(labels), device=labels.device) >= self.label_dropout).to(text.dtype)
            text = text + self.own * known[:, None]
            bias = self.bias + self.own_bias * known
        else:
            text = text + self.own
            bias = self.bias + self.own_bias
        query = self.query(queries)
        scores: Tensor = score_rows(query, text) + bias
        return scores
