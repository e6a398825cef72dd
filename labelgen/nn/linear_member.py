"""A linear member of a head: logistic regression on a bag of words, averaged with the network.

The two are fitted separately and make different mistakes: the network reads meaning and context, the regression exact words. Their
scores are averaged as log-probabilities (a geometric mean of the distributions). Source: Hinton 2002, "Training Products of Experts by
Minimizing Contrastive Divergence", section 1 (logarithmic opinion pool)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from labelgen.data.labels import UNIT_OF, At, Unit
from labelgen.features.layout import Layout, Sees
from labelgen.features.ngrams import NGrams, place_texts

Scores = Float[Tensor, "rows labels"]


@dataclass(frozen=True)
class LinearMap:
    """Scores of labels from n-grams. weight: [n-grams, labels]. bias: [labels]."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class LinearMember(nn.Module):
    """A linear map for each unit of a task, and its share in the average; where a unit has none, the network answers alone.

    share: of the map, until a fit sets both. Buffers of each unit: weight and bias of the map, and the shares of the network and of the
    map, by which their log-probabilities are multiplied."""

    def __init__(self, ngrams: Mapping[Unit, NGrams], labels: int, share: float = 0.5) -> None:
        super().__init__()
        self.ngrams = dict(ngrams)
        for unit, known in self.ngrams.items():
            self.register_buffer(f"{unit}_weight", torch.zeros(len(known), labels))
            self.register_buffer(f"{unit}_bias", torch.zeros(labels))
            self.register_buffer(f"{unit}_shares", torch.tensor([1.0 - share, share]))

    def fill(self, unit: Unit, fitted: LinearMap) -> None:
        """Take over a fitted map."""
        self.get_buffer(f"{unit}_weight").copy_(torch.from_numpy(fitted.weight))
        self.get_buffer(f"{unit}_bias").copy_(torch.from_numpy(fitted.bias))

    def set_shares(self, unit: Unit, network: float, linear: float) -> None:
        """Set the shares of the average at one unit."""
        self.get_buffer(f"{unit}_shares").copy_(torch.tensor([network, linear]))

    def forward(self, network: Scores, places: Sequence[tuple[int, At]], layout: Layout, sees: Sees) -> Scores:
        """The average of the network's scores and those of the maps, one row for each place. sees: the neighboring turns that are read."""
        rows: dict[Unit, list[int]] = {}
        for row, (_, at) in enumerate(places):
            rows.setdefault(UNIT_OF[type(at)], []).append(row)
        out = network.float()
        for unit in self.ngrams:
            if chosen := rows.get(unit):
                index = torch.tensor(chosen, device=network.device)
                of_network, of_linear = self.get_buffer(f"{unit}_shares")
                linear = self.scores(unit, [places[row] for row in chosen], layout, sees).to(network.device)
                average = of_network * out[index].log_softmax(dim=-1) + of_linear * linear.log_softmax(dim=-1)
                out = out.index_copy(0, index, average)
        return out

    def scores(self, unit: Unit, places: Sequence[tuple[int, At]], layout: Layout, sees: Sees) -> Scores:
        """Scores of the linear map alone, by a sparse product."""
        matrix = self.ngrams[unit].matrix([place_texts(layout.texts[dialogue], at, sees) for dialogue, at in places])
        weight, bias = self.get_buffer(f"{unit}_weight"), self.get_buffer(f"{unit}_bias")
        # A copy of the rows that are read costs less than one of the whole weight.
        read = torch.from_numpy(matrix.indices).to(weight.device)
        of_read = type(matrix)((matrix.data, np.arange(len(read)), matrix.indptr), shape=(len(places), len(read)))
        product = of_read @ weight[read].double().cpu().numpy()
        return torch.from_numpy(product + bias.double().cpu().numpy()).float()
