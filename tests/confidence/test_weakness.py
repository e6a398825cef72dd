"""A model that ranks answers no better than chance, or tells no item from another, is called weak; a good one is not."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from labelgen.confidence.weakness import LEAST_ANSWERS, weakness, weighted_auc


def case(count: int, skill: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    answers = (rng.random(count) < 0.6).astype(float)
    good = 1.0 / (1.0 + np.exp(-(skill * (answers - 0.5) + rng.normal(size=count))))
    return good, answers, [f"u{k % max(count // 4, 1)}" for k in range(count)]


def test_weighted_auc_equals_that_of_scikit_learn():
    good, answers, _ = case(80, 1.0)
    good = np.round(good, 1)
    weights = np.random.default_rng(1).integers(0, 4, 80).astype(float)
    assert weighted_auc(good, answers > 0.5, weights) == pytest.approx(
        roc_auc_score(answers, good, sample_weight=weights)
    )


def test_chance_is_weak_and_skill_is_not():
    assert "no better than chance" in weakness(*case(60, 0.0, seed=3))
    assert weakness(*case(200, 3.0)) == ""
    good, answers, users = case(200, 3.0)
    assert "no better than chance" in weakness(1.0 - good, answers, users)


def test_few_answers_give_no_verdict_and_a_constant_is_weak_without_any():
    good, answers, users = case(LEAST_ANSWERS - 1, 0.0)
    assert weakness(good, answers, users) == ""
    assert "within 0.010" in weakness(np.linspace(0.7, 0.71, 50, dtype=np.float64), np.full(50, np.nan), ["u"] * 50)
    assert weakness(np.array([]), np.array([]), []) == ""


def test_few_heavy_users_widen_the_interval():
    good, answers, _ = case(60, 0.6, seed=1)
    assert weakness(good, answers, [f"u{k}" for k in range(60)]) == ""
    order = np.argsort(np.where(answers > 0.5, good, -good))
    blocks = np.array([f"u{k // 20}" for k in range(60)])[np.argsort(order)]
    assert "3 users" in weakness(good, answers, list(blocks))
