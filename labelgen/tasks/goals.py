"""Goals: which turns serve the same goal. Each turn links to its predecessor in its goal, opens one, or serves none.

Source of links for entangled conversations: Kummerfeld et al. 2019, "A Large-Scale Corpus for Conversation
Disentanglement". Goals may interleave; a goal's probability is that its set of turns is exactly right."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.evidence import Target
from labelgen.data.labels import AtDialogue, AtGoal, Field, Label, Unit
from labelgen.nn.losses import Loss, exclusive, forbid
from labelgen.nn.structure import Biaffine
from labelgen.tasks.exclusive import softmax_rows
from labelgen.tasks.task import Answers, Task, Widths
from labelgen.tensors.layout import Layout, States, TargetTensors


class GoalsHead(nn.Module):
    """For each real turn: scores of the turns before it, of "opens a goal", and of "serves none", `[N, T + 2]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.links = Biaffine(width, 128)
        self.alone = nn.Linear(width, 2)
        # Most links reach back a turn or two; a bias by distance learns that without the states' help.
        self.distance = nn.Parameter(torch.zeros(_REACH + 1))

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N options"]:
        grid = layout.pad(states.turns)
        links = self.links(grid).float()
        steps = torch.arange(layout.longest, device=grid.device)
        # In blocks of rows: what is needed beside the links themselves stays small in a dialogue of any length.
        blocks = []
        alone = self.alone(grid).float()
        for start in range(0, layout.longest, _ROWS):
            rows = slice(start, start + _ROWS)
            back = steps[rows, None] - steps[None, :]
            near = links[:, rows] + self.distance[back.clamp(0, _REACH)]
            near = forbid(near, (back > 0).expand_as(near))
            blocks.append(torch.cat([near, alone[:, rows]], dim=2))
        del links
        return layout.unpad(torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0])


_REACH = 16
_ROWS = 1024


class Goals(Task[Float[Tensor, "N options"]]):
    name: ClassVar[str] = "goals"
    units: ClassVar[tuple[Unit, ...]] = ("goal",)
    names: ClassVar[tuple[str, ...]] = ("goal",)
    divides: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("exact_goal_f1", "b_cubed_f1", "boundary_f1", "pk", "window_diff")

    def head(self, widths: Widths) -> nn.Module:
        return GoalsHead(widths.dialogue)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """Goals of several annotators become the share of them that draws a link; turns in no goal of a complete
        division serve none."""
        opens, none = layout.longest, layout.longest + 1
        expected = torch.zeros(sum(layout.turns), layout.longest + 2)
        weight = torch.zeros(sum(layout.turns))
        for b, own in enumerate(targets):
            first, count = layout.first_turn[b], layout.turns[b]
            closed = 0.0
            served = [0.0] * count
            for target in own:
                if not isinstance(target.at, AtGoal):
                    closed += target.weight if target.complete else 0.0
                    continue
                mass = target.weight * sum(p for _, p in target.distribution or ())
                before = opens
                for turn in target.at.turns:
                    expected[first + turn, before] += mass
                    served[turn] += mass
                    before = turn
            for turn in range(count):
                expected[first + turn, none] += max(0.0, closed - served[turn])
                weight[first + turn] = min(1.0, max(closed, served[turn]))
        mass_of_row = expected.sum(dim=1, keepdim=True)
        return TargetTensors(torch.where(mass_of_row > 0, expected / mass_of_row.clamp(min=1e-9), 0.0), weight)

    def loss(self, out: Float[Tensor, "N options"], target: TargetTensors) -> Loss:
        return exclusive(out, target)

    def decode(self, out: Float[Tensor, "N options"], layout: Layout) -> tuple[Answers, ...]:
        rows = softmax_rows(out)
        answers = []
        for b, count in enumerate(layout.turns):
            own = rows[layout.first_turn[b] : layout.first_turn[b] + count]
            goals = divide(own, layout.longest)
            labels = tuple(
                Label(self.name, AtGoal(turns), self.names[0], goal_probability(own, turns, layout.longest))
                for turns in goals
            )
            if labels:
                answers.append(Answers(labels))
            else:
                silent = math.prod(row[layout.longest + 1] for row in own)
                answers.append(Answers((), (Field(self.name, AtDialogue()),), (silent,)))
        return tuple(answers)


def divide(links: Sequence[Sequence[float]], longest: int) -> tuple[tuple[int, ...], ...]:
    """Goals from link probabilities, turn by turn: a turn joins the goal whose members hold most of its mass, or opens
    one, or serves none. links[t]: over predecessors 0..longest-1, opens, none. Ties go to the earliest goal."""
    goals: list[list[int]] = []
    for turn, row in enumerate(links):
        joins = [sum(row[s] for s in goal) for goal in goals]
        best = max(joins, default=0.0)
        if joins and best >= row[longest] and best >= row[longest + 1]:
            goals[joins.index(best)].append(turn)
        elif row[longest] >= row[longest + 1]:
            goals.append([turn])
    return tuple(tuple(goal) for goal in goals)


def goal_probability(links: Sequence[Sequence[float]], turns: Sequence[int], longest: int) -> float:
    """That exactly these turns are a goal, were the rows independent: the first opens it, later members link to an
    earlier member, later turns that are no members do not."""
    probability = links[turns[0]][longest]
    members = [turns[0]]
    inside = set(turns)
    for turn in range(turns[0] + 1, len(links)):
        mass = min(1.0, sum(links[turn][s] for s in members))
        if turn in inside:
            probability *= mass
            members.append(turn)
        else:
            probability *= 1.0 - mass
    return min(1.0, max(0.0, probability))
