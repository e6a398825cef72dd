"""Scores of a whole dialogue from what other heads say of its turns and goals.

A rating of a dialogue follows from those of its turns and from whether its goals were reached (Walker et al. 1997, "PARADISE: A Framework
for Evaluating Spoken Dialogue Agents"). The mean of states hides both: one bad turn of ten hardly moves it, and logs have few dialogues to
learn it from. All sums go row by row, so that a dialogue's scores do not depend on the others of its batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelgen.features.layout import Layout
from labelgen.kernels.transfer import to_device

SCALE = 30.0
"""Factor on what the regression reads, so that its weights reach their size at the learning rate of the other layers."""


class DialogueSummary(nn.Module):
    """Multinomial logistic regression on a summary of a dialogue: the probabilities of the labels of its turns and of its goals, each by mean and
    maximum, and the numbers of turns and goals.

    It reads no states of turns, and its loss does not train the scores that it reads: by either it would learn the few dialogues
    of a training log by heart."""

    def __init__(self, labels: int, goal_labels: int) -> None:
        super().__init__()
        self.goal_labels = goal_labels
        self.parts = nn.Linear(2 * labels + 2 * goal_labels + 3, labels)
        nn.init.zeros_(self.parts.weight)
        nn.init.zeros_(self.parts.bias)

    def forward(
        self,
        layout: Layout,
        turn_scores: Float[Tensor, "N labels"],
        goal_scores: Float[Tensor, "G goal_labels"] | None,
    ) -> Float[Tensor, "B labels"]:
        """goal_scores: of the goals of the layout; None where no head scores goals."""
        count = len(layout.turns)
        of_turn = layout.dialogue_of
        turn_p = turn_scores.detach().float().softmax(dim=-1)
        turns = to_device(torch.tensor(layout.turns), of_turn.device)[:, None].float()
        goals = to_device(torch.tensor([len(of) for of in layout.goals]), of_turn.device)[:, None].float()
        parts = [
            _sums(turn_p, of_turn, count) / turns.clamp(min=1),
            _most(turn_p, of_turn, count),
            *self._goal_parts(goal_scores, layout, goals),
            turns.log1p(),
            goals.log1p(),
            (goals > 0).float(),
        ]
        out: Tensor = self.parts(SCALE * torch.cat(parts, dim=1))
        return out.float()

    def _goal_parts(
        self, scores: Float[Tensor, "G goal_labels"] | None, layout: Layout, goals: Float[Tensor, "B 1"]
    ) -> Sequence[Float[Tensor, "B goal_labels"]]:
        """Mean and maximum of the probabilities of each label of goals; zeros without a goal."""
        if scores is None or not len(scores):
            return goals.new_zeros(len(goals), self.goal_labels), goals.new_zeros(len(goals), self.goal_labels)
        p = scores.detach().float().softmax(dim=-1)
        of_goal = to_device(torch.tensor([b for b, of in enumerate(layout.goals) for _ in of]), p.device)
        return _sums(p, of_goal, len(goals)) / goals.clamp(min=1), _most(p, of_goal, len(goals))


def _sums(rows: Float[Tensor, "n k"], group: Int[Tensor, " n"], count: int) -> Float[Tensor, "count k"]:
    return rows.new_zeros(count, rows.shape[1]).index_add(0, group, rows)


def _most(rows: Float[Tensor, "n k"], group: Int[Tensor, " n"], count: int) -> Float[Tensor, "count k"]:
    """Maximum of each group's rows, which are not below 0; 0 without a row."""
    least = rows.new_zeros(count, rows.shape[1])
    return least.scatter_reduce(0, group[:, None].expand_as(rows), rows, "amax")
