"""Targets of pairs of turns: the probability that both serve one goal, against the sum over all ways to link."""

from itertools import product
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layout_of

from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import AtDialogue, AtGoal, Target
from labelgen.tasks import TaskOptions, goals
from labelgen.tasks.goals import Goals, same_goal

TASK = Goals(LabelSet("goals", (LabelName("goal"),), {}), TaskOptions())


def pair(*turns: int, same: float, weight: float = 1.0) -> Target:
    return Target("goals", AtGoal(turns), (("goal", same),), weight=weight, complete=False)


def scores_of(turns: int, reach: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    scores = 2 * torch.randn(turns, reach + 2)
    for t in range(turns):
        scores[t, t:reach] = -1e4
    return scores


def naive_same(rows: torch.Tensor, a: int, b: int) -> float:
    """Sum over every choice of a link, "opens" or "none" for every turn; turns that serve none belong to nothing."""
    turns, options = rows.shape
    total = 0.0
    for choice in product(range(options), repeat=turns):
        goal: list[int | None] = []
        p = 1.0
        for turn, option in enumerate(choice):
            p *= float(rows[turn, option])
            if option < options - 2:
                goal.append(goal[turn - 1 - option] if option < turn else None)
            else:
                goal.append(turn if option == options - 2 else None)
        total += p if goal[a] is not None and goal[a] == goal[b] else 0.0
    return total


@settings(deadline=None, max_examples=20)
@given(turns=st.integers(1, 4), reach=st.integers(1, 4), seed=st.integers(0, 100))
def test_same_goal_equals_the_sum_over_all_links(turns: int, reach: int, seed: int) -> None:
    rows = scores_of(turns, reach, seed).softmax(dim=1)
    together = same_goal(rows[None])[0]
    for a in range(turns):
        for b in range(turns):
            assert float(together[a, b]) == pytest.approx(naive_same(rows, a, b), abs=1e-5)


def test_loss_is_the_cross_entropy_of_pairs_of_each_dialogue() -> None:
    scores = torch.cat([scores_of(3, 5, 0), scores_of(5, 5, 1)])
    layout = layout_of(3, 5)
    given_pairs = [[pair(0, 1, same=0.9)], [pair(1, 4, same=0.2, weight=0.5), pair(2, 3, same=1.0)]]
    loss = TASK.loss(scores, TASK.encode(given_pairs, layout))
    first, second = (same_goal(part.softmax(dim=1)[None])[0] for part in scores.split([3, 5]))
    nats = 0.0
    for p, same, weight in ((first[0, 1], 0.9, 1.0), (second[1, 4], 0.2, 0.5), (second[2, 3], 1.0, 1.0)):
        nats -= weight * float(same * p.log() + (1.0 - same) * (1.0 - p).log())
    assert float(loss.total) == pytest.approx(nats, rel=1e-5)
    assert float(loss.weight) == 2.5


def test_pairs_leave_the_rows_of_divisions_as_they_are() -> None:
    division = [Target("goals", AtGoal((0, 1)), (("goal", 1.0),)), Target("goals", AtDialogue(), ())]
    plain = TASK.encode([division, []], layout_of(3, 2))
    mixed = TASK.encode([division, [pair(0, 1, same=0.9)]], layout_of(3, 2))
    torch.testing.assert_close(mixed.expected, plain.expected)
    torch.testing.assert_close(mixed.weight, plain.weight)
    assert plain.pairs is None
    assert float(mixed.total_weight()) == float(plain.total_weight()) + 1.0


def test_pairs_in_long_dialogues_are_read_in_windows() -> None:
    scores = scores_of(7, 3, 2)
    with patch.object(goals, "_REACH", 3):
        target = TASK.encode([[pair(4, 6, same=0.3), pair(0, 6, same=0.3)]], layout_of(7))
        assert target.pairs is not None
        assert target.pairs.windows.tolist() == [[4, 5, 6]]
        assert target.pairs.pairs.tolist() == [[0, 0, 2]]
        assert torch.isfinite(TASK.loss(scores, target).total)
