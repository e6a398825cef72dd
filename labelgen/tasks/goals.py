"""Goal segmentation: which turns serve the same goal. Each turn links to the previous turn of its goal, opens a goal, or has none.

Source of links for entangled conversations: Kummerfeld et al. 2019, "A Large-Scale Corpus for Conversation
Disentanglement". Goals may interleave; a goal's probability is that its set of turns is exactly right."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.base.errors import UsageError
from labelgen.data.label_sets import LabelSet
from labelgen.data.labels import Answers, AtDialogue, AtGoal, Label, NoLabel, Target, Unit
from labelgen.features.layout import GroupTargets, Layout, PairTargets, States, TargetTensors
from labelgen.nn.losses import NEVER, Loss, exclusive, forbid
from labelgen.nn.structure import Biaffine, PairScorer, TextPairScorer, similarity
from labelgen.tasks.exclusive import softmax_rows
from labelgen.tasks.options import TaskOptions
from labelgen.tasks.task import Task, Widths

_REACH = 256
"""Turns that a link reaches back at most; a goal that is taken up after more of them is a new one."""
_REACH_OF_PAIRS = 128
"""The same where pairs of turns have features; almost all replies in channels are to one of the last 50 messages."""
_DISTANCES = 16
_BEAM = 8
"""Divisions that the search over whole goals keeps at each turn."""
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
    goals each (research log of version 0.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = PairScorer()

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N options"]:
        reach = _reach(layout, True)
        similar = layout.unpad(similarity(layout.pad(states.requests), reach))
        links, single = self.pairs(layout, similar)
        return _possible(torch.cat([links, single], dim=1).float(), layout, reach)


class WholeGoalsHead(nn.Module):
    """For each real turn: scores of earlier turns as the last one of a goal, of "opens a goal" and of "has no goal"; then of earlier turns as one
    of the goal's turns. A goal's score is that of its last turn plus the mean over its turns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.last = GoalsHead(width)
        self.member = Biaffine(width, 128)
        self.texts = TextPairScorer(2)
        nn.init.zeros_(self.member.pair)

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N options"]:
        reach = _reach(layout, False)
        last = self.last(states, layout)
        member = layout.unpad(self.member(layout.pad(states.turns), reach).float())
        by_last, by_member = self.texts(layout, states.requests, states.responses, reach).unbind(dim=2)
        return torch.cat([last + F.pad(by_last, (0, 2)), member + by_member], dim=1)


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

    def __init__(self, labels: LabelSet, options: TaskOptions) -> None:
        super().__init__(labels, options)
        if options.pairs and options.antecedents == "goal":
            raise UsageError(
                "features of pairs of turns score links between turns, not whole goals",
                "tasks.goals.antecedents",
                "leave out tasks.goals.pairs, or give any",
            )

    @property
    def reads_relations(self) -> bool:
        return self.options.pairs

    def head(self, widths: Widths) -> nn.Module:
        if self.options.pairs:
            return PairGoalsHead()
        return WholeGoalsHead(widths.dialogue) if self._whole else GoalsHead(widths.dialogue)

    @property
    def _whole(self) -> bool:
        """Whether turns link to whole goals."""
        return self.options.antecedents == "goal"

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """Goals of several annotators become the share of them that draws a link; turns in no goal of a complete
        division serve none. A turn whose predecessor is out of reach opens. An empty target at turns completes the division of these
        turns alone; the others have weight 0.

        A target that is not complete says of each pair of its turns with what probability both serve one goal."""
        divisions = [[t for t in dialogue if not _is_pairwise(t)] for dialogue in targets]
        pairs = [[t for t in dialogue if _is_pairwise(t)] for dialogue in targets]
        reach = _reach(layout, self.options.pairs)
        encode_rows = {"nearest": _nearest, "any": _of_any_antecedent, "goal": _of_goals}[self.options.antecedents]
        rows = encode_rows(divisions, layout, reach)
        return _with_pairs(rows, pairs, layout)

    def loss(self, out: Float[Tensor, "N options"], target: TargetTensors) -> Loss:
        if target.groups is None:
            rows, links = exclusive(out.repeat_interleave(len(target.expected) // max(1, len(out)), dim=0), target), out
        else:
            rows, links = _group_loss(out, target.groups), _links(out)
        if target.pairs is None:
            return rows
        pairs = _pair_loss(links, target.pairs)
        return Loss(rows.total + pairs.total, target.total_weight())

    def decode(self, out: Float[Tensor, "N options"], layout: Layout) -> tuple[Answers, ...]:
        rows = out.double().tolist() if self._whole else softmax_rows(out)
        answers: list[Answers] = []
        for b, count in enumerate(layout.turns):
            own = rows[layout.first_turn[b] : layout.first_turn[b] + count]
            links, goals = search(own) if self._whole else (own, divide(own))
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
    expected = torch.zeros(sum(layout.turns), opens + 2)
    weight = torch.zeros(sum(layout.turns))
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
                expected[first + turn, link] += mass
                served[turn] += mass
        for turn in range(count):
            expected[first + turn, none] += max(0.0, closed[turn] - served[turn])
            weight[first + turn] = min(1.0, max(closed[turn], served[turn]))
    mass_of_row = expected.sum(dim=1, keepdim=True)
    return TargetTensors(torch.where(mass_of_row > 0, expected / mass_of_row.clamp(min=1e-9), 0.0), weight)


def _of_goals(targets: Sequence[Sequence[Target]], layout: Layout, reach: int) -> TargetTensors:
    """For each turn a row for each division: its goal, and those of the turns before it."""
    by_origin = _by_origin(targets)
    rows, divisions = sum(layout.turns), max(1, *map(len, by_origin))
    goal = torch.full((rows, divisions), -1)
    before = torch.full((rows, divisions, reach), -1)
    weight = torch.zeros(rows, divisions)
    for b, origins in enumerate(by_origin):
        own = slice(layout.first_turn[b], layout.first_turn[b] + layout.turns[b])
        for d, division in enumerate(origins.values()):
            closed, served = [0.0] * layout.turns[b], [0.0] * layout.turns[b]
            for number, target in enumerate(division):
                if not isinstance(target.at, AtGoal) or not target.distribution:
                    _add(closed, target)
                    continue
                for turn in target.at.turns:
                    goal[own.start + turn, d] = number
                    served[turn] += target.weight * sum(p for _, p in target.distribution)
            goals = goal[own, d]
            before[own, d] = F.pad(goals, (reach, 0), value=-1).unfold(0, reach, 1)[:-1].flip(1)
            weight[own, d] = torch.tensor([min(1.0, s or c) for s, c in zip(served, closed, strict=True)])
    groups = GroupTargets(goal.flatten(), before.flatten(0, 1), weight.flatten(), int(goal.max()) + 1)
    return TargetTensors(torch.zeros(rows, 1), torch.zeros(rows), groups=groups)


def _group_loss(out: Float[Tensor, "N options"], target: GroupTargets) -> Loss:
    """Weighted cross-entropy of the goal that each turn goes on, given the goals of the turns before it."""
    out = out.float().repeat_interleave(len(target.group) // max(1, len(out)), dim=0)
    reach = target.before.shape[1]
    last, alone, member = out[:, :reach], out[:, reach : reach + 2], out[:, reach + 2 :]
    goals = max(target.most, 1)
    # Turns that serve no goal go to a column that is dropped.
    column = torch.where(target.before < 0, goals, target.before)
    empty = out.new_zeros(len(out), goals + 1)
    count = empty.scatter_add(1, column, torch.ones_like(member))
    back = torch.arange(reach, device=out.device).expand_as(column)
    nearest = torch.full_like(empty, reach, dtype=torch.long).scatter_reduce(1, column, back, "amin")
    score = last.gather(1, nearest.clamp(max=reach - 1)) + empty.scatter_add(1, column, member) / count.clamp(min=1)
    score = torch.where(count > 0, score, NEVER)[:, :goals]
    log_p = torch.cat([score, alone], dim=1).log_softmax(dim=1)
    known = (count > 0).gather(1, target.group.clamp(min=0)[:, None])[:, 0]
    right = torch.where(target.group < 0, goals + 1, torch.where(known, target.group, goals))
    nats = -log_p.gather(1, right[:, None])[:, 0]
    total = torch.where(target.weight > 0, nats * target.weight, 0.0).sum()
    return Loss(total, target.weight.sum())


def _links(out: Float[Tensor, "N options"]) -> Float[Tensor, "N links"]:
    """Scores of whole goals as those of links: as if each earlier turn were a goal."""
    reach = (out.shape[1] - 2) // 2
    return torch.cat([out[:, :reach] + out[:, reach + 2 :], out[:, reach : reach + 2]], dim=1)


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


def search(scores: Sequence[Sequence[float]], width: int = _BEAM) -> tuple[Links, tuple[tuple[int, ...], ...]]:
    """The most probable division under the scores of whole goals, by a beam search, and its links: the probability that a turn goes on a goal
    stands at the last turn of that goal so far.

    scores: of each turn, as WholeGoalsHead gives them. width: divisions that are kept at each turn; ties go to the earliest."""
    beam: list[tuple[float, tuple[int | None, ...]]] = [(0.0, ())]
    for row in scores:
        found = []
        for total, goal_of in beam:
            nearest, log_p = _extensions(row, goal_of)
            opened = max((goal for goal in goal_of if goal is not None), default=-1) + 1
            for goal, p in zip((*nearest, opened, None), log_p, strict=True):
                found.append((total + p, (*goal_of, goal)))
        beam = sorted(found, key=lambda division: -division[0])[:width]
    goal_of = beam[0][1]
    links: list[list[float]] = []
    goals: dict[int, list[int]] = {}
    for turn, row in enumerate(scores):
        nearest, log_p = _extensions(row, goal_of[:turn])
        link = [0.0] * min(turn, len(row) // 2 - 1)
        for back, p in zip(nearest.values(), log_p, strict=False):
            link[back - 1] = math.exp(p)
        links.append([*link, *map(math.exp, log_p[-2:])])
        if (goal := goal_of[turn]) is not None:
            goals.setdefault(goal, []).append(turn)
    return links, tuple(map(tuple, goals.values()))


def _extensions(row: Sequence[float], goal_of: Sequence[int | None]) -> tuple[dict[int, int], list[float]]:
    """The goals within reach, in the order of their numbers, each with how many turns ago its last turn was; and log probabilities of them, of opens
    and of none."""
    turn, reach = len(goal_of), len(row) // 2 - 1
    nearest: dict[int, int] = {}
    members: dict[int, list[float]] = {}
    for back in range(1, min(turn, reach) + 1):
        goal = goal_of[turn - back]
        if goal is not None:
            nearest.setdefault(goal, back)
            members.setdefault(goal, []).append(row[reach + 1 + back])
    nearest = dict(sorted(nearest.items()))
    scores = [row[back - 1] + math.fsum(members[goal]) / len(members[goal]) for goal, back in nearest.items()]
    scores += row[reach : reach + 2]
    most = max(scores)
    log_sum = most + math.log(math.fsum(math.exp(score - most) for score in scores))
    return nearest, [score - log_sum for score in scores]


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
