"""Targets of tasks of which exactly one name holds: what several annotators and evidence say of one place."""

import pytest
import torch

from labelgen.data.labels import AtTurn, Target
from labelgen.tasks.exclusive import exclusive_rows

INDEX = {"bad": 0, "fair": 1, "good": 2}
AT = AtTurn(0)


def names(weight: float = 1.0, **shares: float) -> Target:
    return Target("quality", AT, tuple(shares.items()), None, weight)


def negative(weight: float, *wrong: str) -> Target:
    return Target("quality", AT, None, wrong, weight)


def test_annotators_who_differ_become_their_weighted_mean_and_weigh_one_at_most():
    found = exclusive_rows(
        [[names(0.5, bad=1), names(0.25, good=1)], [names(bad=1), names(good=1)], [names(0.3, bad=0.2, good=0.8)]],
        INDEX,
    )
    assert found.expected.flatten().tolist() == pytest.approx([2 / 3, 0, 1 / 3, 0.5, 0, 0.5, 0.2, 0, 0.8])
    assert found.weight.tolist() == pytest.approx([0.75, 1.0, 0.3])
    assert found.likelihood is None


def test_names_that_the_task_lacks_are_left_out_and_of_nothing_else_the_row_is_absent():
    found = exclusive_rows([[names(0.5, awful=1.0)], [names(0.5, awful=0.5, bad=0.5)], []], INDEX)
    assert found.expected.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert found.weight.tolist() == [0, 0.5, 0]


def test_evidence_multiplies_and_weighs_as_the_heaviest_of_it():
    rows = [[negative(0.75, "fair"), negative(0.25, "fair", "bad")], [names(good=1)]]
    found = exclusive_rows(rows, INDEX)
    assert found.likelihood is not None
    assert found.likelihood_weight is not None
    assert found.likelihood.flatten().tolist() == [0, 0, 1, 1, 1, 1]
    assert found.likelihood_weight.tolist() == [0.75, 0]
    assert found.weight.tolist() == [0, 1]


def test_that_none_or_all_of_the_names_are_wrong_is_no_evidence():
    for wrong in (("awful",), ("bad", "fair", "good")):
        assert exclusive_rows([[negative(1.0, *wrong)]], INDEX).likelihood is None


def test_evidence_against_all_names_stays_a_number():
    found = exclusive_rows([[negative(1.0, "bad", "fair"), negative(1.0, "good")]], INDEX)
    assert found.likelihood is not None
    assert torch.equal(found.likelihood, torch.zeros(1, 3))
