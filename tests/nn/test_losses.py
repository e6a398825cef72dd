"""The loss of targets of which only evidence is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.labels import AtDialogue, Target
from labelgen.nn.losses import exclusive
from labelgen.tasks.exclusive import exclusive_rows

NAMES = ("bad", "good")
INDEX = {name: k for k, name in enumerate(NAMES)}
SHARES = st.floats(0.05, 0.95)


def evidence(posterior: float, prior: float, weight: float = 1.0) -> Target:
    """posterior, prior: of good."""
    said, before = (tuple(zip(NAMES, (1.0 - p, p), strict=True)) for p in (posterior, prior))
    return Target("quality", AtDialogue(), said, None, weight, prior=before)


def nats(scores: list[float], *targets: Target) -> float:
    loss = exclusive(torch.tensor([scores]), exclusive_rows([targets], INDEX))
    return float(loss.total)


@given(SHARES, SHARES, SHARES)
def test_exclusive_loss_of_evidence_is_its_negative_log_probability(p: float, posterior: float, prior: float) -> None:
    """Up to what the model cannot change: the likelihood of the likeliest name is taken as 1."""
    good, bad = posterior / prior, (1.0 - posterior) / (1.0 - prior)
    expected = -math.log((p * good + (1.0 - p) * bad) / max(good, bad))
    assert nats([0.0, math.log(p / (1.0 - p))], evidence(posterior, prior)) == pytest.approx(expected, abs=1e-4)


@given(SHARES, st.floats(-3.0, 3.0))
def test_exclusive_loss_of_uninformative_evidence_has_no_gradient(prior: float, score: float) -> None:
    scores = torch.tensor([[0.0, score]], requires_grad=True)
    exclusive(scores, exclusive_rows([[evidence(prior, prior)]], INDEX)).total.backward()
    assert scores.grad is not None
    assert torch.allclose(scores.grad, torch.zeros(1, 2), atol=1e-6)


@given(st.floats(-3.0, 3.0))
def test_exclusive_loss_of_complement_is_log_of_remaining_probability(score: float) -> None:
    not_bad = Target("quality", AtDialogue(), None, ("bad",))
    p = 1.0 / (1.0 + math.exp(-score))
    assert nats([0.0, score], not_bad) == pytest.approx(-math.log(p), abs=1e-4)
    certain = Target("quality", AtDialogue(), (("bad", 0.0), ("good", 1.0)), prior=(("bad", 0.5), ("good", 0.5)))
    assert nats([0.0, score], certain) == pytest.approx(-math.log(p), abs=1e-4)
    everything = Target("quality", AtDialogue(), None, NAMES)
    assert nats([0.0, score], everything) == 0.0


@given(SHARES, SHARES, SHARES, st.floats(-3.0, 3.0))
def test_exclusive_loss_of_two_pieces_of_evidence_multiplies_likelihoods(
    one: float, other: float, prior: float, score: float
) -> None:
    p = 1.0 / (1.0 + math.exp(-score))
    goods, bads = ((one / prior, other / prior), ((1 - one) / (1 - prior), (1 - other) / (1 - prior)))
    likeliest = math.prod(max(pair) for pair in zip(goods, bads, strict=True))
    expected = -math.log((p * math.prod(goods) + (1 - p) * math.prod(bads)) / likeliest)
    assert nats([0.0, score], evidence(one, prior), evidence(other, prior)) == pytest.approx(expected, abs=1e-3)


def test_exclusive_loss_of_sparse_evidence_recovers_the_rate() -> None:
    """Half of the bad items and none of the good ones are complained of. Who learns the posteriors thinks that silence leaves
    a doubt of every item; who learns the evidence finds how often each kind of item is bad."""
    torch.manual_seed(0)
    kind = torch.arange(10_000) % 2
    bad = torch.rand(10_000) < torch.where(kind == 0, 0.05, 0.8)
    complained = bad & (torch.rand(10_000) < 0.5)
    share = float(bad.float().mean())
    silent = share * 0.5 / (share * 0.5 + 1.0 - share)
    rows = [[evidence(1.0 - (1.0 if c else silent), 1.0 - share)] for c in complained.tolist()]
    target = exclusive_rows(rows, INDEX)
    score = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([score], max_iter=50)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = exclusive(torch.stack([torch.zeros(10_000), score[kind]], dim=1), target).total / 10_000
        loss.backward()
        return loss

    optimizer.step(step)
    assert (1.0 - score.detach().sigmoid()).tolist() == pytest.approx([0.05, 0.8], abs=0.03)
