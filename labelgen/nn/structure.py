"""Parts of heads: losses, scores of labels by their texts, and scores and decoding of structured labels (links between turns, BIO tags along a
request)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.features.layout import Layout, Relations, TargetTensors

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


_ROWS = 512
"""Turns whose links are scored at once, so that time and memory are linear in the turns."""


class Biaffine(nn.Module):
    """Biaffine score of every turn with each earlier turn up to a maximum distance; initially their similarity.

    Source: Dozat and Manning 2017, "Deep Biaffine Attention for Neural Dependency Parsing", equation 3."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.later = nn.Sequential(nn.Linear(width, inner), nn.GELU())
        self.earlier = nn.Sequential(nn.Linear(width, inner), nn.GELU())
        self.pair = nn.Parameter(torch.zeros(inner, inner))
        self.bias = nn.Linear(inner, 1)
        self.earlier.load_state_dict(self.later.state_dict())
        nn.init.eye_(self.pair)

    def forward(self, turns: Float[Tensor, "B T D"], reach: int) -> Float[Tensor, "B T reach"]:
        """scores[b, t, k]: of turn t - 1 - k as the predecessor of turn t; undefined where there is no such turn."""
        earlier = self.earlier(turns)
        later = self.later(turns) @ self.pair
        return _with_earlier(later, earlier, self.bias(earlier), reach, self.pair.shape[0] ** 0.5)


def similarity(turns: Float[Tensor, "B T D"], reach: int) -> Float[Tensor, "B T reach"]:
    """Cosine of every turn with each earlier turn, laid out as the scores of Biaffine."""
    unit = F.normalize(turns, dim=2)
    return _with_earlier(unit, unit, torch.zeros_like(unit[:, :, :1]), reach, 1.0)


def _with_earlier(
    later: Float[Tensor, "B T d"],
    earlier: Float[Tensor, "B T d"],
    bias: Float[Tensor, "B T 1"],
    reach: int,
    scale: float,
) -> Float[Tensor, "B T reach"]:
    """Products of each turn with the turns before it, the nearest first, divided by the scale, plus the bias of the earlier turn."""
    count, length, _ = later.shape
    # Turn s is at s + reach, so that each row has the same number of turns before it.
    earlier, bias = F.pad(earlier, (0, 0, reach, 0)), F.pad(bias, (0, 0, reach, 0))
    blocks = []
    for start in range(0, length, _ROWS):
        rows = later[:, start : start + _ROWS]
        seen = slice(start, start + rows.shape[1] + reach)
        scores = rows @ earlier[:, seen].transpose(1, 2) / scale
        scores = scores + bias[:, seen].transpose(1, 2)
        steps = torch.arange(rows.shape[1], device=later.device)[:, None]
        before = steps + reach - 1 - torch.arange(reach, device=later.device)
        blocks.append(scores.gather(2, before.expand(count, -1, -1)))
    return torch.cat(blocks, dim=1)


class PairScorer(nn.Module):
    """Scores of pairs of turns by who wrote them, whom they address, when they were written and how similar they are, and of turns that open a
    goal or have none.

    Features but the similarity are comparisons of exact values. Two small networks of two layers combine them; their last layers start at zero. Source of the
    features: Elsner and Charniak 2008, "You Talking to Me?", and Kummerfeld et al. 2019, "A Large-Scale Corpus for Conversation
    Disentanglement", appendix."""

    def __init__(self, inner: int = 32) -> None:
        super().__init__()
        self.links = _two_layers(_PAIR + 1, inner, 1)
        self.alone = _two_layers(_SINGLE, inner, 2)

    def forward(
        self, layout: Layout, similar: Float[Tensor, "N reach"]
    ) -> tuple[Float[Tensor, "N reach"], Float[Tensor, "N 2"]]:
        """Links to earlier turns, the nearest first, undefined where there is no such turn; then "opens a goal" and "has no goal".

        Args:
            similar: similarity of each turn with earlier ones."""
        assert layout.relations is not None
        reach = similar.shape[1]
        every = torch.arange(len(layout.position), device=layout.position.device)
        links = []
        for rows in torch.split(every, _ROWS):
            features = pair_features(layout.position, layout.relations, rows, reach)
            features = torch.cat([features, similar[rows, :, None].float()], dim=2)
            links.append(self.links(features).squeeze(2))
        return torch.cat(links), self.alone(single_features(layout.position, layout.relations))


def _two_layers(width: int, inner: int, scores: int) -> nn.Sequential:
    last = nn.Linear(inner, scores)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, inner), nn.ReLU(), last)


def _from(values: Real[Tensor, "*n"], steps: Sequence[float]) -> list[Bool[Tensor, "*n"]]:
    """For each step, whether the value reaches it; never for NaN."""
    return [values >= step for step in steps]


def pair_features(
    positions: Int[Tensor, " N"], by: Relations, rows: Int[Tensor, " R"], reach: int
) -> Float[Tensor, "R reach F"]:
    """Features of turn t (rows) and turn t - 1 - k of the same dialogue, or of its first turn where there is none; each is 0 or 1.

    Args:
        positions: number of each real turn in its dialogue."""
    back = torch.arange(1, reach + 1, device=rows.device)
    position = positions[rows][:, None]
    distance = torch.minimum(back, position)
    earlier = rows[:, None] - distance
    at = position - distance

    def addresses(of: Tensor, speaker: Tensor) -> Tensor:
        return ((of == speaker[..., None]) & (of > 0)).any(-1)

    speaker, other = by.speaker[rows][:, None], by.speaker[earlier]
    named, named_there = by.addressed[rows][:, None], by.addressed[earlier]
    same = (speaker == other) & (speaker > 0)
    calls, called = addresses(named, other), addresses(named_there, speaker)
    names, names_there = (named > 0).any(-1), (named_there > 0).any(-1)
    common = ((named[..., :, None] == named_there[..., None, :]) & (named[..., :, None] > 0)).any(-1).any(-1)
    is_last = by.following[earlier] >= position
    none_since = by.previous[rows][:, None] <= at
    before = by.speaker[(earlier - 1).clamp(min=0)]
    features = [
        *_from(distance, _DISTANCE_STEPS),
        *_from(by.time[rows][:, None] - by.time[earlier], _GAP_STEPS),
        same,
        same & is_last,
        calls,
        called,
        is_last,
        none_since,
        calls & is_last,
        called & none_since,
        common,
        names & ~calls & ~same,
        names_there & ~called & ~same,
        names_there.expand_as(same),
        other == 0,
        (speaker == 0).expand_as(same),
        (by.previous[rows] < 0)[:, None].expand_as(same),
        by.calls[rows][:, None].expand_as(same),
        (before == other) & (at > 0) & (other > 0),
    ]
    return torch.stack([feature.expand_as(same) for feature in features], dim=-1).float()


def single_features(positions: Int[Tensor, " N"], by: Relations) -> Float[Tensor, "N F"]:
    """Features of each real turn by itself, 0 or 1: whom it addresses, and how long ago its speaker wrote."""
    names = (by.addressed > 0).any(-1)
    first = by.previous < 0
    since = positions - by.previous
    index = torch.arange(len(since), device=since.device) - since
    named_before = names[index.clamp(min=0)] & ~first
    near = [(since < step) & ~first for step in _SINCE_STEPS]
    return torch.stack([names, by.calls, first, by.speaker == 0, named_before, *near], dim=-1).float()


_DISTANCE_STEPS = (2.0, 3.0, 5.0, 9.0, 17.0, 33.0, 65.0)
"""Turns between the two."""
_GAP_STEPS = (60.0, 120.0, 180.0, 360.0, 660.0, 1860.0)
"""Seconds between the two."""
_SINCE_STEPS = (3, 6, 21, 101)
"""Turns since the speaker's last one."""
_PAIR = len(_DISTANCE_STEPS) + len(_GAP_STEPS) + 17
_SINGLE = 5 + len(_SINCE_STEPS)


@dataclass(frozen=True, slots=True)
class TagRows:
    """Scores of the tags of requests of any lengths, step by step, so that a step is done once for all of them.

    requests: their numbers, longest first (equal lengths in order). counts: for each step, how many requests have a token
    there; these are the first of them. scores: those of all requests at step 0, then at step 1, ..."""

    requests: tuple[int, ...]
    counts: tuple[int, ...]
    scores: Float[Tensor, "M tags"]

    def steps(self) -> Sequence[Float[Tensor, "n tags"]]:
        return torch.split_with_sizes(self.scores, self.counts)


def tag_rows(scores: Float[Tensor, "M tags"], lengths: Sequence[int]) -> TagRows:
    """scores: token by token, request by request; each request has a token."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    counts = [sum(length > step for length in lengths) for step in range(max(lengths, default=0))]
    first = list(accumulate(lengths, initial=0))
    index = [first[row] + step for step, count in enumerate(counts) for row in order[:count]]
    return TagRows(tuple(order), tuple(counts), scores[torch.tensor(index, dtype=torch.long, device=scores.device)])


def viterbi(rows: TagRows, names: int) -> list[list[int]]:
    """Best BIO tags of each request, in the order of `rows`. Tags: 0 is O, then B of each name, then I of each name.

    Only "I of a name follows B or I of that name" is constrained, so a step takes O(tags), not O(tags squared). scores
    in nats; ties go to the lower tag. Source: Forney 1973, "The Viterbi Algorithm"."""
    if not rows.counts:
        return []
    first, *later = rows.steps()
    best = first.clone()
    best[:, 1 + names :] = -torch.inf
    # Of each step: the best tag before it, and whether I of a name goes on from I rather than from B of it.
    tops, goes_on, ends = [], [], []
    for scores in later:
        ends.append(best[len(scores) :].argmax(dim=1))
        top, top_tag = best[: len(scores)].max(dim=1)
        begin, inside = best[: len(scores), 1 : 1 + names], best[: len(scores), 1 + names :]
        tops.append(top_tag)
        goes_on.append(inside > begin)
        best = torch.cat([top[:, None].expand(-1, 1 + names), torch.maximum(begin, inside)], dim=1) + scores
    tag = best.argmax(dim=1)
    path = [tag]
    for top_tag, stays, ended in zip(reversed(tops), reversed(goes_on), reversed(ends), strict=True):
        name = (tag - 1 - names).clamp(min=0)
        before = torch.where(stays.gather(1, name[:, None])[:, 0], tag, tag - names) if names else top_tag
        tag = torch.cat([torch.where(tag > names, before, top_tag), ended])
        path.append(tag)
    by_step = [tags.tolist() for tags in reversed(path)]
    return [[tags[k] for tags in by_step if k < len(tags)] for k in range(len(rows.requests))]


@dataclass(frozen=True, slots=True)
class TagSums:
    """Sums over all well-formed tag sequences, as logarithms.

    before[:, t]: over the tags of the tokens before t. after[:, t]: over those from t on, where t is O or begins a span.
    Both have a column for the end of the request, and zeros behind it; after[:, 0] is the sum over all sequences."""

    before: Float[Tensor, "n ends"]
    after: Float[Tensor, "n ends"]


def tag_sums(rows: TagRows, names: int) -> TagSums:
    """What probabilities are made of; tags, constraint and order are those of `viterbi`. Source: the forward-backward sums
    of Lafferty et al. 2001, "Conditional Random Fields", with no transition scores but the constraint."""
    count = len(rows.requests)
    none = rows.scores.new_zeros(count)
    steps = rows.steps()
    before = [none]
    # open_: over sequences whose last token so far stands in a span of each name.
    open_ = rows.scores.new_full((count, names), -torch.inf)
    for scores in steps:
        here, open_ = before[-1][: len(scores)], open_[: len(scores)]
        open_ = torch.logaddexp(here[:, None] + scores[:, 1 : 1 + names], open_ + scores[:, 1 + names :])
        before.append(torch.cat([(here + scores[:, 0])[:, None], open_], dim=1).logsumexp(dim=1))
    # rest: over the tokens behind one that stands in a span of each name. Requests join at their last tokens.
    after = [none[:0]]
    rest = rows.scores.new_zeros(0, names)
    for scores in reversed(steps):
        joined = len(scores) - len(rest)
        rest, then = F.pad(rest, (0, 0, 0, joined)), F.pad(after[-1], (0, joined))
        begins = scores[:, 1 : 1 + names] + rest
        after.append(torch.cat([(scores[:, 0] + then)[:, None], begins], dim=1).logsumexp(dim=1))
        rest = torch.logaddexp(after[-1][:, None].expand_as(rest), scores[:, 1 + names :] + rest)
    return TagSums(_side_by_side(before, count), _side_by_side(after[::-1], count))


def _side_by_side(columns: Sequence[Float[Tensor, " _"]], count: int) -> Float[Tensor, "n ends"]:
    return torch.stack([F.pad(column, (0, count - len(column))) for column in columns], dim=1)


def span_probability(scores: Float[Tensor, "L tags"], sums: TagSums, row: int, span: tuple[int, int, int]) -> float:
    """Marginal probability of a span with exactly these ends and this name, over all well-formed tag sequences.

    scores: of the request. span: first token, one past the last, name."""
    first, end, name = span
    names = (scores.shape[1] - 1) // 2
    inside = scores[first, 1 + name] + scores[first + 1 : end, 1 + names + name].sum()
    return float((sums.before[row, first] + inside + sums.after[row, end] - sums.after[row, 0]).exp().clamp(max=1.0))


LABEL_DROPOUT = 0.3
"""Probability that a label is represented by its text alone in a training step."""


class LabelScorer(nn.Module):
    """Dot product of a query with a label's text vector plus a learned vector of the label.

    The learned vector is zero for a label that is not in the training data. In training it is dropped at random, so that
    the text alone learns to carry the score. The product is not scaled by its width, because AdamW's steps have a constant
    size and scaled scores would grow more slowly (docs/explanation/decisions.md).

    Sources: Larochelle et al. 2008, "Zero-data learning of new tasks"; Obeidat et
    al. 2019, "Description-Based Zero-shot Fine-Grained Entity Typing"."""

    def __init__(self, query_width: int, label_width: int, labels: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, inner)
        self.text = nn.Linear(label_width, inner)
        self.own = nn.Parameter(torch.zeros(labels, inner))
        self.own_bias = nn.Parameter(torch.zeros(labels))
        self.bias = nn.Parameter(torch.tensor([-3.0]))

    def forward(self, queries: Float[Tensor, "rows q"], labels: Float[Tensor, "K d"]) -> Float[Tensor, "rows K"]:
        text = self.text(labels)
        if self.training:
            known = (torch.rand(len(labels), device=labels.device) >= LABEL_DROPOUT).to(text.dtype)
            text = text + self.own * known[:, None]
            bias = self.bias + self.own_bias * known
        else:
            text = text + self.own
            bias = self.bias + self.own_bias
        query = self.query(queries)
        scores: Tensor = query @ text.T + bias
        return scores
