"""What a head reads of a whole dialogue: its turns' states, and what other heads say of its turns and goals.

A rating of a dialogue follows from those of its turns and from whether its goals were reached (Walker et al. 1997, "PARADISE: A Framework
for Evaluating Spoken Dialogue Agents"). The mean of states alone hides both: one bad turn of ten hardly moves it. All sums go row by row,
so that a dialogue's scores do not depend on the others of its batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelgen.features.layout import Layout, States

_HEADS = 4
"""Attentions over turns, each with weights of its own."""
_INNER = 64
"""Width of the layer over probabilities and counts."""


class DialogueSummary(nn.Module):
    """Scores of labels of a dialogue, the sum of two small networks. One reads the states of turns: their mean, and sums weighted by
    attention. The other reads probabilities: of the labels of turns by mean, maximum and the same attention, of the labels of goals by mean
    and maximum, and the numbers of turns and goals.

    Source of the attention: Lin et al. 2017, "A Structured Self-Attentive Sentence Embedding"."""

    def __init__(self, width: int, labels: int, goal_labels: int) -> None:
        super().__init__()
        self.goal_labels = goal_labels
        self.attention = nn.Linear(width, _HEADS)
        self.states = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, labels))
        self.join = nn.Linear(_HEADS * width, width)
        known = (2 + _HEADS) * labels + 2 * goal_labels + 3
        self.parts = nn.Sequential(nn.Linear(known, _INNER), nn.GELU(), nn.Linear(_INNER, labels))

    def forward(
        self,
        states: States,
        layout: Layout,
        mean: Float[Tensor, "B D"],
        turn_scores: Float[Tensor, "N labels"],
        goal_scores: Float[Tensor, "G goal_labels"] | None,
    ) -> Float[Tensor, "B labels"]:
        """mean: of the states of each dialogue. goal_scores: of the goals of the layout; None where no head scores goals."""
        count = len(layout.turns)
        of_turn = layout.dialogue_of
        weights = _softmax_of_groups(self.attention(states.turns).float(), of_turn, count)
        attended = [_sums(weights[:, h, None] * states.turns, of_turn, count) for h in range(_HEADS)]
        turn_p = turn_scores.float().softmax(dim=-1)
        turns = torch.tensor(layout.turns, device=mean.device)[:, None].float()
        goals = torch.tensor([len(of) for of in layout.goals], device=mean.device)[:, None].float()
        parts = [
            _sums(turn_p, of_turn, count) / turns.clamp(min=1),
            _most(turn_p, of_turn, count),
            *(_sums(weights[:, h, None] * turn_p, of_turn, count) for h in range(_HEADS)),
            *self._goal_parts(goal_scores, layout, goals),
            turns.log1p(),
            goals.log1p(),
            (goals > 0).float(),
        ]
        joined = self.join(torch.cat(attended, dim=1))
        from_states: Tensor = self.states(torch.cat([mean, joined], dim=1))
        from_parts: Tensor = self.parts(torch.cat(parts, dim=1))
        return from_states.float() + from_parts.float()

    def _goal_parts(
        self, scores: Float[Tensor, "G goal_labels"] | None, layout: Layout, goals: Float[Tensor, "B 1"]
    ) -> Sequence[Float[Tensor, "B goal_labels"]]:
        """Mean and maximum of the probabilities of each label of goals; zeros without a goal."""
        if scores is None or not len(scores):
            return goals.new_zeros(len(goals), self.goal_labels), goals.new_zeros(len(goals), self.goal_labels)
        p = scores.float().softmax(dim=-1)
        of_goal = torch.tensor([b for b, of in enumerate(layout.goals) for _ in of], device=p.device)
        return _sums(p, of_goal, len(goals)) / goals.clamp(min=1), _most(p, of_goal, len(goals))


def _sums(rows: Float[Tensor, "n k"], group: Int[Tensor, " n"], count: int) -> Float[Tensor, "count k"]:
    return rows.new_zeros(count, rows.shape[1]).index_add(0, group, rows)


def _most(rows: Float[Tensor, "n k"], group: Int[Tensor, " n"], count: int) -> Float[Tensor, "count k"]:
    """Maximum of each group's rows, which are not below 0; 0 without a row."""
    return _reduced(rows.new_zeros(count, rows.shape[1]), group, rows)


def _reduced(least: Float[Tensor, "count k"], group: Int[Tensor, " n"], rows: Float[Tensor, "n k"]) -> Tensor:
    """The larger of `least` and the maximum of each group's rows."""
    return least.scatter_reduce(0, group[:, None].expand_as(rows), rows, "amax")


def _softmax_of_groups(rows: Float[Tensor, "n k"], group: Int[Tensor, " n"], count: int) -> Float[Tensor, "n k"]:
    """Softmax over the rows of each group."""
    with torch.no_grad():
        top = _reduced(rows.new_full((count, rows.shape[1]), -torch.inf), group, rows)
    powers = (rows - top[group]).exp()
    return powers / _sums(powers, group, count)[group]
