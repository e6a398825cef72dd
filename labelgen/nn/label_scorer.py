"""Zero-shot scores of labels by their texts, for labels that are not in the training data too."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LabelScorer(nn.Module):
    """Dot product of a query with a label's text vector plus a learned vector of the label.

    The learned vector is zero for a label that is not in the training data. In training it is dropped at random, so that
    the text alone learns to carry the score. The product is not scaled by its width, because AdamW's steps have a constant
    size and scaled scores would grow more slowly (docs/explanation/decisions.md).

    Sources: Larochelle et al. 2008, "Zero-data learning of new tasks"; Obeidat et
    al. 2019, "Description-Based Zero-shot Fine-Grained Entity Typing"."""

    def __init__(self, query_width: int, label_width: int, labels: int, inner: int, label_dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, inner)
        self.text = nn.Linear(label_width, inner)
        self.own = nn.Parameter(torch.zeros(labels, inner))
        self.own_bias = nn.Parameter(torch.zeros(labels))
        self.bias = nn.Parameter(torch.tensor([-3.0]))
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
        scores: Tensor = query @ text.T + bias
        return scores
