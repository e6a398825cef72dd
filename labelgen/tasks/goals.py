"""Goal segmentation: which turns serve the same goal. Each turn links to the previous turn of its goal, opens a goal, or has none.

Source of links for entangled conversations: Kummerfeld et al. 2019, "A Large-Scale Corpus for Conversation
Disentanglement". Goals may interleave; a goal's probability is that its set of turns is exactly right."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.labels import Answers, AtDialogue, AtGoal, Label, NoLabel, Target, Unit
from labelgen.features.layout import Layout, PairTargets, States, TargetTensors
from labelgen.nn.structure import Biaffine, Loss, PairScorer, exclusive, forbid, similarity
from labelgen.tasks.exclusive import softmax_rows
from labelgen.tasks.task import Task, Widths

_REACH = 256
"""Turns that a link reaches back at most; a goal that is taken up after more of them is a new one."""
_REACH_OF_PAIRS = 128
"""The same where pairs of turns have features; almost all replies in channels are to one of the last 50 messages."""
_DISTANCES = 16
_SURE = 1e-6
"""Probabilities of pairs nearer to 0 or 1 are clipped, so that the loss is finite."""


class GoalsHead(nn.Module):
    """For each real turn: scores of links to earlier turns, the nearest first, of "opens a goal", and of "has no goal"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.links = Biaffine(width, 128)
        self.alone = nn.Linear(width, 2)
        # Most links reach back a turn or two; a bias by distance learns that without the states' help.
        self.distance = nn.Parameter(torch.zeros(_DISTANCES + 1))

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N options"]:
        grid, reach = layout.pad(states.turns), _reach(layout, False)
        links = self.links(grid, reach).float()
        links = links + self.distance[torch.arange(1, reach + 1, device=grid.device).clamp(max=_DISTANCES)]
        scores = torch.cat([links, self.alone(grid).float()], dim=2)
        return _possible(layout.unpad(scores), layout, reach)


class PairGoalsHead(nn.Module):
    """The same from pair features and the similarity of texts alone. States of turns overfit here, since channels have few dialogues and many
    goals each."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = PairScorer()

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N options"]:
        reach = _reach(layout, True)
        similar = layout.unpad(similarity(layout.pad(states.requests), reach))
        links, single = self.pairs(layout, similar)
        return _possible(torch.cat([links, single], dim=1).float(), layout, reach)


def _possible(scores: Float[Tensor, "N options"], layout: Layout, reach: int) -> Float[Tensor, "N options"]:
    """The scores, NEVER for links to turns before the dialogue."""
    option = torch.arange(scores.shape[1], device=scores.device)
    return forbid(scores, (option < layout.position[:, None]) | (option >= reach))


def _reach(layout: Layout, pairs: bool) -> int:
    """How many links a row of the batch has."""
    return min(_REACH_OF_PAIRS if pairs else _REACH, layout.longest)


class Goals(Task[Float[Tensor, "N options"]]):
    name: ClassVar[str] = "goals"
    units: ClassVar[tuple[Unit, ...]] = ("goal",)
    names: ClassVar[tuple[str, ...]] = ("goal",)
    divides: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        *("exact_goal_f1", "b_cubed_f1", "boundary_f1", "pk", "window_diff"),
        *("exact_goal_f1_several", "one_to_one", "variation_of_information"),
    )

    @property
    def reads_relations(self) -> bool:
        return self.options.pairs

    def head(self, widths: Widths) -> nn.Module:
        return PairGoalsHead() if self.options.pairs else GoalsHead(widths.dialogue)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """Goals of several annotators become the share of them that draws a link; turns in no goal of a complete
        division serve none. A turn whose predecessor is out of reach opens. An empty target at turns completes the division of these
        turns alone; the others have weight 0.

        A target that is not complete says of each pair of its turns with what probability both serve one goal."""
        divisions = [[t for t in dialogue if not _is_pairwise(t)] for dialogue in targets]
        pairs = [[t for t in dialogue if _is_pairwise(t)] for dialogue in targets]
        reach = _reach(layout, self.options.pairs)
        encode_rows = _nearest if self.options.antecedents == "nearest" else _of_any_antecedent
        rows = encode_rows(divisions, layout, reach)
        return _with_pairs(rows, pairs, layout)

    def loss(self, out: Float[Tensor, "N options"], target: TargetTensors) -> Loss:
        rows = exclusive(out.repeat_interleave(len(target.expected) // max(1, len(out)), dim=0), target)
        if target.pairs is None:
            return rows
        pairs = _pair_loss(out, target.pairs)
        return Loss(rows.total + pairs.total, target.total_weight())

    def decode(self, out: Float[Tensor, "N options"], layout: Layout) -> tuple[Answers, ...]:
        rows = softmax_rows(out)
        answers: list[Answers] = []
        for b, count in enumerate(layout.turns):
            links = rows[layout.first_turn[b] : layout.first_turn[b] + count]
            goals = divide(links)
            labels = tuple(
                Label(self.name, AtGoal(turns), self.names[0], probability)
                for turns, probability in zip(goals, goal_probabilities(links, goals), strict=True)
            )
            if labels:
                answers.append(labels)
            else:
                no_goal = math.prod(row[-1] for row in links)
                answers.append((NoLabel(self.name, AtDialogue(), no_goal),))
        return tuple(answers)


def _nearest(targets: Sequence[Sequence[Target]], layout: Layout, reach: int) -> TargetTensors:
    """For each turn the link to the turn before it in its goal."""
    opens, none = reach, reach + 1
    mass_of, weight = np.zeros((sum(layout.turns), opens + 2), np.float32), np.zeros(sum(layout.turns), np.float32)
    for b, dialogue in enumerate(targets):
        first, count = layout.first_turn[b], layout.turns[b]
        closed = [0.0] * count
        served = [0.0] * count
        for target in dialogue:
            if not isinstance(target.at, AtGoal) or not target.distribution:
                _add(closed, target)
                continue
            mass = target.weight * sum(p for _, p in target.distribution)
            for before, turn in zip((None, *target.at.turns), target.at.turns, strict=False):
                link = opens if before is None else min(turn - before - 1, opens)
                mass_of[first + turn, link] += mass
                served[turn] += mass
        for turn in range(count):
            mass_of[first + turn, none] += max(0.0, closed[turn] - served[turn])
            weight[first + turn] = min(1.0, max(closed[turn], served[turn]))
    expected = torch.from_numpy(mass_of)
    total = expected.sum(dim=1, keepdim=True)
    return TargetTensors(torch.where(total > 0, expected / total.clamp(min=1e-9), 0.0), torch.from_numpy(weight))


def _is_pairwise(target: Target) -> bool:
    return isinstance(target.at, AtGoal) and not target.complete and bool(target.distribution)


def _with_pairs(rows: TargetTensors, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
    """Add the pairs of turns of these targets. A window is a dialogue, or the last turns of it that links reach up to the later
    turn of a pair; pairs farther apart have no effect."""
    windows: dict[tuple[int, int], int] = {}
    pairs: list[tuple[int, int, int]] = []
    together: list[float] = []
    weight: list[float] = []
    for b, dialogue in enumerate(targets):
        for target in dialogue:
            assert isinstance(target.at, AtGoal)
            for earlier, later in combinations(target.at.turns, 2):
                first = max(0, later + 1 - _REACH) if layout.turns[b] > _REACH else 0
                if earlier >= first:
                    window = windows.setdefault((b, first), len(windows))
                    pairs.append((window, earlier - first, later - first))
                    together.append(sum(p for _, p in target.distribution or ()))
                    weight.append(target.weight)
    if not pairs:
        return rows
    lengths = {key: min(layout.turns[key[0]] - key[1], _REACH) for key in windows}
    longest = max(lengths.values())
    grid = [[layout.turn(b, first + min(t, lengths[b, first] - 1)) for t in range(longest)] for b, first in windows]
    tensors = (torch.tensor(x) for x in (grid, pairs, together, weight))
    return replace(rows, pairs=PairTargets(*tensors))


def _pair_loss(out: Float[Tensor, "N options"], target: PairTargets) -> Loss:
    """Weighted cross-entropy of whether the turns of a pair serve one goal."""
    window, earlier, later = target.pairs.unbind(dim=1)
    same = same_goal(out.float().softmax(dim=-1)[target.windows])[window, later, earlier]
    p = same.clamp(_SURE, 1.0 - _SURE)
    nats = -(target.expected * p.log() + (1.0 - target.expected) * (1.0 - p).log())
    return Loss((nats * target.weight).sum(), target.weight.sum())


def same_goal(links: Float[Tensor, "W T options"]) -> Float[Tensor, "W T T"]:
    """For each pair of turns the probability that both serve one goal, were the rows independent: a turn serves the goal of the
    turn that it links to. Of a turn with itself: that it serves a goal. links: probabilities, as in `Links`."""
    length, options = links.shape[1:]
    same = links[:, :1, -2, None]
    for turn in range(1, length):
        reach = min(turn, options - 2)
        to_earlier = links[:, turn, :reach].flip(1)[:, None]
        row = (to_earlier @ same[:, turn - reach :]).squeeze(1)
        serves = links[:, turn, -2] + (to_earlier @ same.diagonal(dim1=1, dim2=2)[:, turn - reach :, None]).flatten()
        same = torch.cat(
            [torch.cat([same, row[:, :, None]], dim=2), torch.cat([row, serves[:, None]], dim=1)[:, None]], dim=1
        )
    return same


def _add(closed: list[float], target: Target) -> None:
    """Add the weight of a completed division to the turns that it covers."""
    if target.complete:
        for turn in target.at.turns if isinstance(target.at, AtGoal) else range(len(closed)):
            closed[turn] += target.weight


def _by_origin(targets: Sequence[Sequence[Target]]) -> list[dict[str, list[Target]]]:
    """Targets of each dialogue by their origin, which tells divisions apart."""
    by_origin: list[dict[str, list[Target]]] = []
    for dialogue in targets:
        by_origin.append({})
        for target in dialogue:
            by_origin[-1].setdefault(target.origin, []).append(target)
    return by_origin


def _of_any_antecedent(targets: Sequence[Sequence[Target]], layout: Layout, opens: int) -> TargetTensors:
    """For each turn a row for each division, told apart by their origins: the links to all earlier turns of the turn's goal are
    right. Source: the marginal likelihood of antecedents of Lee et al. 2017, "End-to-end Neural Coreference Resolution"."""
    by_origin = _by_origin(targets)
    none = opens + 1
    divisions = max(1, *map(len, by_origin))
    right = torch.zeros(sum(layout.turns), divisions, opens + 2)
    weight = torch.zeros(sum(layout.turns), divisions)
    for b, origins in enumerate(by_origin):
        first, count = layout.first_turn[b], layout.turns[b]
        for d, division in enumerate(origins.values()):
            closed, served = [0.0] * count, [0.0] * count
            for target in division:
                if not isinstance(target.at, AtGoal) or not target.distribution:
                    _add(closed, target)
                    continue
                for k, turn in enumerate(target.at.turns):
                    links = [turn - t - 1 for t in target.at.turns[:k] if turn - t <= opens]
                    right[first + turn, d, links or [opens]] = 1.0
                    served[turn] += target.weight * sum(p for _, p in target.distribution)
            for turn in range(count):
                if not served[turn]:
                    right[first + turn, d, none] = 1.0
                weight[first + turn, d] = min(1.0, served[turn] or closed[turn])
    rows = right.flatten(0, 1)
    return TargetTensors(
        torch.zeros_like(rows),
        torch.zeros(len(rows)),
        likelihood=rows,
        likelihood_weight=weight.flatten(),
    )


Links = Sequence[Sequence[float]]
"""Of each turn, the probabilities of the turns before it, the nearest first, as far as links reach; of opens; of none."""


def divide(links: Links) -> tuple[tuple[int, ...], ...]:
    """Goals from link probabilities, turn by turn: a turn joins the goal whose members hold most of its mass, or opens
    one, or serves none. Ties go to the earliest goal."""
    goals: list[list[int]] = []
    goal_of: list[int | None] = []
    for turn, row in enumerate(links):
        opens, none = row[-2], row[-1]
        joins = _masses(row, turn, goal_of)
        best = max(joins.values(), default=0.0)
        goal_of_turn: int | None = None
        if joins and best >= opens and best >= none:
            goal_of_turn = min(goal for goal, mass in joins.items() if mass == best)
            goals[goal_of_turn].append(turn)
        elif opens >= none:
            goal_of_turn = len(goals)
            goals.append([turn])
        goal_of.append(goal_of_turn)
    return tuple(tuple(goal) for goal in goals)


def goal_probabilities(links: Links, goals: Sequence[Sequence[int]]) -> list[float]:
    """Of each goal, that exactly its turns are one, were the rows independent: the first opens it, later members link to an
    earlier member, later turns that are no members do not. Goals share no turn."""
    goal_of: list[int | None] = [None] * len(links)
    for goal, turns in enumerate(goals):
        for turn in turns:
            goal_of[turn] = goal
    probabilities = [1.0] * len(goals)
    for turn, row in enumerate(links):
        goal_of_turn = goal_of[turn]
        joins = _masses(row, turn, goal_of)
        for goal, mass in joins.items():
            if goal != goal_of_turn:
                probabilities[goal] *= 1.0 - min(1.0, mass)
        if goal_of_turn is not None:
            probabilities[goal_of_turn] *= (
                row[-2] if turn == goals[goal_of_turn][0] else min(1.0, joins.get(goal_of_turn, 0.0))
            )
    return probabilities


def _masses(row: Sequence[float], turn: int, goal_of: Sequence[int | None]) -> dict[int, float]:
    """Of each goal that this turn's links reach, the mass on its members."""
    masses: dict[int, float] = {}
    for back in range(min(turn, len(row) - 2), 0, -1):
        goal = goal_of[turn - back]
        if goal is not None:
            masses[goal] = masses.get(goal, 0.0) + row[back - 1]
    return masses
