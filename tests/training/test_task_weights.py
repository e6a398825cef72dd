"""Laws of learned task weights."""

import pytest
import torch

from labelgen.training.module import LearnedWeights


def test_they_begin_with_every_loss_as_it_is_and_its_gradient():
    weights = LearnedWeights(["a", "b"])
    loss = torch.tensor(2.5, requires_grad=True)
    out = weights("b", loss * 3, torch.tensor(1.0))
    out.backward()
    assert out.item() == pytest.approx(7.5)
    assert loss.grad is not None
    assert loss.grad.item() == pytest.approx(3.0)
    assert weights.values() == {"a": 1.0, "b": 1.0}


def test_the_parts_of_a_step_add_up_to_the_step():
    weights = LearnedWeights(["a"])
    torch.nn.init.constant_(weights.log_scale, 0.7)
    parts = [(torch.tensor(0.5), torch.tensor(0.25)), (torch.tensor(1.5), torch.tensor(0.75))]
    whole = weights("a", torch.tensor(2.0), torch.tensor(1.0))
    assert sum(weights("a", *part).item() for part in parts) == pytest.approx(whole.item())


def test_where_losses_stay_as_they_are_every_task_comes_to_weigh_one():
    weights = LearnedWeights(["noisy", "sure"])
    losses = {"noisy": torch.tensor(4.0), "sure": torch.tensor(0.05)}
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.05)
    for _ in range(2_000):
        optimizer.zero_grad()
        sum(weights(name, loss, torch.tensor(1.0)) for name, loss in losses.items()).backward()
        optimizer.step()
    learned = weights.values()
    assert {name: learned[name] * loss.item() for name, loss in losses.items()} == pytest.approx(
        {"noisy": 1.0, "sure": 1.0}, rel=0.01
    )
