"""Scores and decoding of structured labels: links between turns, BIO tags along a request."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelgen.nn.rows import score_rows


class Biaffine(nn.Module):
    """Score of every ordered pair of turns; a new one scores how alike they are. Source: Dozat and Manning 2017, "Deep
    Biaffine Attention for Neural Dependency Parsing", equation 3."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.later = nn.Sequential(nn.Linear(width, inner), nn.GELU())
        self.earlier = nn.Sequential(nn.Linear(width, inner), nn.GELU())
        self.pair = nn.Parameter(torch.zeros(inner, inner))
        self.bias = nn.Linear(inner, 1)
        self.earlier.load_state_dict(self.later.state_dict())
        nn.init.eye_(self.pair)

    def forward(self, turns: Float[Tensor, "B T D"]) -> Float[Tensor, "B T T"]:
        """scores[b, t, s]: of turn s as the predecessor of turn t."""
        earlier = self.earlier(turns)
        scores: Tensor = (self.later(turns) @ self.pair) @ earlier.transpose(1, 2)
        scores = scores / self.pair.shape[0] ** 0.5
        bias = score_rows(earlier, self.bias.weight) + self.bias.bias
        return scores + bias.transpose(1, 2)


def viterbi(scores: Float[Tensor, "n L tags"], names: int) -> Int[Tensor, "n L"]:
    """Best BIO tags of each request. Tags: 0 is O, then B of each name, then I of each name.

    Only "I of a name follows B or I of that name" is constrained, so a step takes O(tags), not O(tags squared). scores
    in nats; ties go to the lower tag. Source: Forney 1973, "The Viterbi Algorithm"."""
    count, length, tags = scores.shape
    back = torch.zeros(count, length, tags, dtype=torch.long, device=scores.device)
    best = scores[:, 0].clone()
    best[:, 1 + names :] = -torch.inf
    begin = torch.arange(1, 1 + names, device=scores.device)
    inside = begin + names
    for step in range(1, length):
        top, top_tag = best.max(dim=1)
        score = top[:, None].expand(-1, tags).clone()
        back[:, step] = top_tag[:, None]
        if names:
            from_begin, from_inside = best[:, begin], best[:, inside]
            stays = from_inside > from_begin
            score[:, inside] = torch.where(stays, from_inside, from_begin)
            back[:, step, inside] = torch.where(stays, inside, begin)
        best = score + scores[:, step]
    path = [best.argmax(dim=1)]
    for step in range(length - 1, 0, -1):
        path.append(back[:, step].gather(1, path[-1][:, None]).squeeze(1))
    return torch.stack(path[::-1], dim=1)
