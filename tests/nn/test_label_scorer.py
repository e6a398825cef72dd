"""What is learned of a label beyond its text is dropped now and then in training, and never at work."""

import pytest
import torch

from labelgen.nn.label_scorer import LabelScorer


def scorer(dropout: float) -> LabelScorer:
    torch.manual_seed(0)
    made = LabelScorer(8, 8, 6, 4, dropout)
    with torch.no_grad():
        made.own.normal_()
        made.own_bias.normal_()
    return made


QUERIES, LABELS = torch.randn(3, 8), torch.randn(6, 8)


def test_label_scorer_in_eval_drops_nothing():
    with torch.inference_mode():
        kept, dropping = (scorer(dropout).eval()(QUERIES, LABELS) for dropout in (0.0, 0.9))
    assert torch.equal(kept, dropping)


def test_label_scorer_in_training_drops_the_learned_part():
    made = scorer(0.5)
    with torch.inference_mode():
        whole = made.eval()(QUERIES, LABELS)
        made.train()
        draws = [made(QUERIES, LABELS) for _ in range(20)]
        made.own.zero_()
        made.own_bias.zero_()
        text = made.eval()(QUERIES, LABELS)
    seen = {bool(torch.allclose(draw[:, k], whole[:, k], atol=1e-5)) for draw in draws for k in range(6)}
    assert seen == {True, False}
    for draw in draws:
        for k in range(6):
            column = draw[:, k]
            assert torch.allclose(column, whole[:, k], atol=1e-5) or torch.allclose(column, text[:, k], atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_label_scorer_always_dropped_gets_no_gradient(dropout: float):
    made = scorer(dropout).train()
    made(QUERIES, LABELS).sum().backward()
    assert made.own.grad is not None
    assert bool(made.own.grad.any()) == (dropout == 0.0)
