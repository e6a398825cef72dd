"""FastDropout is dropout: how often it drops, what it keeps, its gradient, and that a seed says all."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labelgen.nn.turn_encoder import FastDropout, use_fast_dropout


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_drops_with_its_probability_wherever_a_number_stands(p: float, dtype: torch.dtype):
    torch.manual_seed(0)
    count = 200_000
    kept = (FastDropout(p)(torch.ones(count, 4, dtype=dtype)) != 0).double()
    # Six standard deviations of a share of so many.
    assert (kept.mean(dim=0) - (1 - p)).abs().max() < 6 * (p * (1 - p) / count) ** 0.5
    # Neighbors share random bits, and must not share their fate.
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 6 / count**0.5


@given(st.lists(st.integers(0, 7), max_size=3), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_what_is_kept_is_scaled_and_the_gradient_is_that_of_what_is_kept(shape: list[int], p: float):
    dropout = FastDropout(p)
    x = torch.rand(shape) + 1.0
    x.requires_grad_()
    out = dropout(x)
    kept = out != 0
    torch.testing.assert_close(out, torch.where(kept, x / (1 - p) if p < 1 else 0 * x, 0.0), rtol=1e-4, atol=0)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, kept)


def test_a_seed_says_all_and_evaluation_drops_nothing():
    dropout, x = FastDropout(0.5), torch.rand(7, 3)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(dropout.eval()(x), x)


def test_every_dropout_of_a_module_is_replaced_once():
    module = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)), nn.Dropout1d(0.2))
    use_fast_dropout(module)
    use_fast_dropout(module)
    found = [part for part in module.modules() if isinstance(part, FastDropout)]
    assert [part.p for part in found] == [0.1, 0.3]
