"""Targets of divisions that cover some turns alone, and the loss over all earlier turns of a goal."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import layout_of

from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, Label, NoLabel, targets_of
from labelgen.features.layout import States
from labelgen.model.batches import _goals_of
from labelgen.tasks import TaskOptions
from labelgen.tasks.goals import Goals
from labelgen.tasks.task import Widths

NEAREST, ANY = (
    Goals(LabelSet("goals", (LabelName("goal"),), {}), TaskOptions(antecedents=kind)) for kind in ("nearest", "any")
)
BOTH = pytest.mark.parametrize("task", [NEAREST, ANY], ids=["nearest", "any"])


def annotated(serves, covered=None, name="ana"):
    goals = [tuple(t for t, g in enumerate(serves) if g == number) for number in sorted({*serves} - {None})]
    none = () if goals else (NoLabel("goals", AtDialogue()),)
    labels = tuple(Label("goals", AtGoal(g), "goal") for g in goals)
    return Annotation(name, "person", labels, none, covered_turns=covered)


def gradients(task, head, states, targets):
    """Loss divided by its weight, and its gradients: of the states and of each parameter."""
    states = states.clone().requires_grad_()
    layout = layout_of(len(states))
    none = torch.zeros(len(states), 0)
    out = head(States(states, states, none, none, None, {}, "none"), layout)
    loss = task.loss(out, task.encode([targets], layout))
    mean = loss.total / loss.weight
    return float(mean.detach()), torch.autograd.grad(mean, [states, *head.parameters()])


@BOTH
@given(serves=st.lists(st.sampled_from([None, 0, 1]), min_size=2, max_size=6), context=st.integers(1, 4))
def test_uncovered_turns_after_the_covered_ones_change_no_gradient(task, serves, context):
    torch.manual_seed(0)
    head = task.head(Widths(4, 4))
    states = torch.randn(len(serves) + context, 4)
    covered = tuple(range(len(serves)))
    loss, plain = gradients(task, head, states[: len(serves)], targets_of(annotated(serves)))
    longer_loss, longer = gradients(task, head, states, targets_of(annotated([*serves, *[None] * context], covered)))
    assert longer_loss == pytest.approx(loss, rel=1e-5)
    assert not longer[0][len(serves) :].any()
    torch.testing.assert_close(longer[0][: len(serves)], plain[0], rtol=1e-4, atol=1e-6)
    for a, b in zip(longer[1:], plain[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@BOTH
def test_uncovered_turns_before_the_covered_ones_have_no_target(task):
    layout = layout_of(5)
    target = task.encode([targets_of(annotated([None, None, 0, None, 0], (2, 3, 4)))], layout)
    weight = target.weight if target.likelihood_weight is None else target.likelihood_weight
    right = target.expected if target.likelihood is None else target.likelihood
    assert weight.tolist() == [0, 0, 1, 1, 1]
    opens, none = right.shape[1] - 2, right.shape[1] - 1
    assert [int(right[t].argmax()) for t in (2, 3, 4)] == [opens, none, 1]


def test_any_antecedent_loss_equals_the_probability_of_all_earlier_turns_of_the_goal():
    """Two annotators of equal weight: ana has turns 0, 1 and 3 as a goal, bo opens one at turn 3 and leaves turn 2 out."""
    ana = targets_of(annotated([0, 0, 1, 0]), 0.5)
    bo = targets_of(annotated([0, 0, None, 1], name="bo"), 0.5)
    layout = layout_of(4)
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    p = scores.softmax(1).tolist()
    opens, none = 4, 5
    of_ana = [p[0][opens], p[1][0], p[2][opens], p[3][0 + 1] + p[3][2]]
    of_bo = [p[0][opens], p[1][0], p[2][none], p[3][opens]]
    expected = -0.5 * sum(map(math.log, (*of_ana, *of_bo)))
    loss = ANY.loss(scores, ANY.encode([(*ana, *bo)], layout))
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)
    assert float(loss.weight) == pytest.approx(4.0)


def test_turns_that_a_division_covers_are_no_goal_of_the_batch():
    targets = targets_of(annotated([None, 0, 0], (1, 2)))
    assert _goals_of(targets, {"goals"}) == ((1, 2),)
    assert _goals_of(targets_of(annotated([None, 0, None], (1, 2))), {"goals"}) == ((1,),)
