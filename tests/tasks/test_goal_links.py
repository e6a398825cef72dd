"""Links that reach back a bounded number of turns: of dialogues within reach, what links to all earlier turns say."""

import math
from unittest.mock import patch

import pytest
import torch
from decodings import decoded
from hypothesis import given
from hypothesis import strategies as st
from layouts import layout_of

from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import AtDialogue, AtGoal, Target
from labelgen.features.layout import TargetTensors
from labelgen.nn.structure import exclusive
from labelgen.tasks import TaskOptions, goals
from labelgen.tasks.goals import Goals, divide, goal_probabilities

TASK = Goals(LabelSet("goals", (LabelName("goal"),), {}), TaskOptions())


def naive_divide(rows):
    """rows[t]: over all turns, opens, none. Straight from the definition."""
    found: list[list[int]] = []
    for turn, (*links, opens, none) in enumerate(rows):
        joins = [sum(links[s] for s in goal) for goal in found]
        best = max(joins, default=0.0)
        if joins and best >= opens and best >= none:
            found[joins.index(best)].append(turn)
        elif opens >= none:
            found.append([turn])
    return tuple(tuple(goal) for goal in found)


def naive_probability(rows, goal):
    whole = 1.0
    for turn in range(len(rows)):
        mass = sum(rows[turn][s] for s in goal if s < turn)
        if turn in goal:
            whole *= rows[turn][-2] if turn == goal[0] else mass
        else:
            whole *= 1.0 - mass
    return whole


@given(turns=st.integers(1, 12), reach=st.integers(1, 14), seed=st.integers(0, 5))
def test_links_within_reach_say_what_all_links_say(turns, reach, seed):
    """Goals, their probabilities and the loss, where what lies out of reach has no mass."""
    torch.manual_seed(seed)
    columns = min(reach, turns)
    scores = 3 * torch.randn(turns, columns + 2)
    whole = torch.full((turns, turns + 2), -1e4)
    whole[:, -2:] = scores[:, -2:]
    for t in range(turns):
        scores[t, t:columns] = -1e4
        for back in range(min(t, columns)):
            whole[t, t - 1 - back] = scores[t, back]
    rows = whole.double().softmax(dim=1).tolist()
    with patch.object(goals, "_REACH", reach):
        (said,) = decoded(TASK, scores, layout_of(turns))
        wanted = naive_divide(rows)
        assert [label.at for label in said.labels] == [AtGoal(goal) for goal in wanted]
        for label, goal in zip(said.labels, wanted, strict=True):
            assert label.probability == pytest.approx(naive_probability(rows, goal), abs=1e-9)
        target = TASK.encode([[Target("goals", AtGoal(g), (("goal", 1.0),)) for g in wanted]], layout_of(turns))
    expected = torch.zeros_like(whole)
    for goal in wanted:
        for before, turn in zip((turns, *goal), goal, strict=False):
            expected[turn, before] = 1.0
    naive = exclusive(whole, TargetTensors(expected, expected.sum(dim=1)))
    torch.testing.assert_close(TASK.loss(scores, target).total, naive.total)


def test_a_turn_whose_goal_is_out_of_reach_opens_one():
    turns = AtGoal((0, 1, 5))
    with patch.object(goals, "_REACH", 3):
        target = TASK.encode([[Target("goals", turns, (("goal", 1.0),))]], layout_of(6))
        assert target.expected[5].tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
        # The turns between serve none.
        target.expected[2:5, -1] = 1.0
        (said,) = decoded(TASK, 20.0 * target.expected, layout_of(6))
    assert [label.at for label in said.labels] == [AtGoal((0, 1)), AtGoal((5,))]


def goal(weight: float, *turns: int) -> Target:
    return Target("goals", AtGoal(turns), (("goal", 1.0),), None, weight)


def whole(weight: float, complete: bool = True) -> Target:
    """All goals are told."""
    return Target("goals", AtDialogue(), (), None, weight, complete=complete)


def test_annotators_who_divide_differently_share_the_links_of_a_turn():
    """One has 0 and 1 in a goal and 2 in none; another, of half the weight, 0 alone and 1 and 2 in a goal."""
    targets = [goal(0.5, 0, 1), whole(0.5), goal(0.25, 0), goal(0.25, 1, 2), whole(0.25)]
    target = TASK.encode([targets], layout_of(3))
    opens, none = 3, 4
    wanted = torch.zeros(3, 5)
    wanted[0, opens] = 1
    wanted[1, 0], wanted[1, opens] = 2 / 3, 1 / 3
    wanted[2, none], wanted[2, 0] = 2 / 3, 1 / 3
    torch.testing.assert_close(target.expected, wanted)
    assert target.weight.tolist() == [0.75] * 3


def test_of_some_goals_alone_the_other_turns_are_unknown():
    for targets in ([goal(0.5, 0, 2)], [goal(0.5, 0, 2), whole(0.5, complete=False)]):
        target = TASK.encode([targets], layout_of(3))
        assert target.weight.tolist() == [0.5, 0, 0.5]
        assert target.expected[1].tolist() == [0] * 5
        assert target.expected[2].tolist() == [0, 1, 0, 0, 0]
    heavy = TASK.encode([[goal(0.75, 0), whole(0.75), goal(0.75, 0), whole(0.75)]], layout_of(2))
    assert heavy.weight.tolist() == [1, 1]
    assert heavy.expected.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]


MASSES = (0.1, 0.3, 0.2, 0.4)
"""Their sum from the last to the first is a little more than one."""


def test_rounding_lifts_no_probability_above_one():
    stays = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    links = [[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], stays, stays, stays, [*MASSES, 0.0, 0.0]]
    assert sum(MASSES[::-1]) > 1.0
    assert goal_probabilities(links, [(0, 1, 2, 3, 4)]) == [1.0]
    assert goal_probabilities(links, [(0, 1, 2, 3)]) == [0.0]


def test_goals_of_thousands_of_turns():
    """A goal that is never left, and one that ends at once, each with its exact probability."""
    stays = [[0.0, 0.0, 1.0, 0.0], *[[0.9, 0.0, 0.1, 0.0]] * 4999]
    assert divide(stays) == (tuple(range(5000)),)
    (probability,) = goal_probabilities(stays, [range(5000)])
    assert math.log(probability) == pytest.approx(4999 * math.log(0.9))
    alone = [[0.2, 0.1, 0.7, 0.0]] * 5000
    probabilities = goal_probabilities(alone, divide(alone))
    assert probabilities[0] == pytest.approx(0.7 * 0.8 * 0.9)
    assert len(probabilities) == 5000
