"""Scores and decoding of structured labels: links between turns, BIO tags along a request."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class TagSums:
    """Sums over all well-formed tag sequences, as logarithms.

    before[:, t]: over the tags of the tokens before t. after[:, t]: over those from t on, where t is O or begins a span.
    Both have a column for the end of the request; after[:, 0] is the sum over all sequences."""

    before: Float[Tensor, "n ends"]
    after: Float[Tensor, "n ends"]


def tag_sums(scores: Float[Tensor, "n L tags"], names: int) -> TagSums:
    """What probabilities are made of; tags and constraint are those of `viterbi`. Source: the forward-backward sums of
    Lafferty et al. 2001, "Conditional Random Fields", with no transition scores but the constraint."""
    count, length, _ = scores.shape
    outside, begin, inside = scores[..., 0], scores[..., 1 : 1 + names], scores[..., 1 + names :]
    none = scores.new_zeros(count)
    before, after = [none], [none]
    # open_: over sequences whose last token so far stands in a span of each name.
    open_ = scores.new_full((count, names), -torch.inf)
    for t in range(length):
        open_ = _log_add(before[t][:, None] + begin[:, t], open_ + inside[:, t])
        before.append(_log_sum(torch.cat([(before[t] + outside[:, t])[:, None], open_], dim=1)))
    # rest: over the tokens behind one that stands in a span of each name.
    rest = scores.new_zeros(count, names)
    for t in range(length - 1, -1, -1):
        whole = torch.cat([(outside[:, t] + after[-1])[:, None], begin[:, t] + rest], dim=1)
        rest_before = inside[:, t] + rest
        after.append(_log_sum(whole))
        rest = _log_add(after[-1][:, None].expand_as(rest_before), rest_before)
    return TagSums(torch.stack(before, dim=1), torch.stack(after[::-1], dim=1))


def span_probability(scores: Float[Tensor, "L tags"], sums: TagSums, row: int, span: tuple[int, int, int]) -> float:
    """That a span of this name begins and ends exactly here, over all well-formed sequences: where it goes on, the I of
    other names, which cannot follow it, take nothing from it. scores: of the row. span: first token, one past the last,
    name."""
    first, end, name = span
    names = (scores.shape[1] - 1) // 2
    own = scores[first, 1 + name] + scores[first + 1 : end, 1 + names + name].sum()
    return float((sums.before[row, first] + own + sums.after[row, end] - sums.after[row, 0]).exp().clamp(max=1.0))


def _log_add(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """log(exp a + exp b) by functions that round alike wherever a number stands (nn/rows.py)."""
    return torch.maximum(a, b) + (-(a - b).abs()).exp().log1p()


def _log_sum(rows: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    top = rows.amax(dim=1)
    return top + (rows - top[:, None]).exp().sum(dim=1).log()
