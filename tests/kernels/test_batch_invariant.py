"""Batch-invariant products: a row's result does not depend on the other rows, and cached weights are never stale."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from labelgen.kernels import batch_invariant
from labelgen.kernels.batch_invariant import Product, RowLinear, has_onednn, make_batch_invariant

BLOCK = 32


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def product(request, monkeypatch) -> Product:
    if request.param and not has_onednn(torch.float32):
        pytest.skip("oneDNN has no kernels for this CPU")
    monkeypatch.setattr(batch_invariant, "has_onednn", lambda _: request.param)
    return Product(torch.randn(24, 40), torch.randn(24), BLOCK)


def plain(product: Product, rows: torch.Tensor) -> torch.Tensor:
    """By the definition, a row at a time."""
    weight = product(torch.eye(40)) - product(torch.zeros(40, 40))
    return rows @ weight + product(torch.zeros(1, 40))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 100])
def test_product_any_number_of_rows_equals_definition(product, count):
    rows, to = torch.randn(count, 40), torch.randn(count, 24)
    expected = plain(product, rows)
    torch.testing.assert_close(product(rows), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product.gelu(rows), F.gelu(expected), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product.added(rows, to), expected + to, rtol=1e-5, atol=1e-5)


def test_product_any_number_of_rows_calls_the_library_with_blocks(product, monkeypatch):
    sizes = set()

    def counted(call):
        def of(rows, *more):
            sizes.add(len(rows))
            return call(rows, *more)

        return of

    for name in ("_linear", "_linear_gelu", "_linear_add"):
        monkeypatch.setattr(product, name, counted(getattr(product, name)))
    for count in (1, 31, 32, 33, 100):
        rows = torch.randn(count, 40)
        product(rows)
        product.gelu(rows)
        product.added(rows, torch.randn(count, 24))
    assert sizes == {BLOCK}


def test_product_any_batch_is_bitwise_identical():
    if not has_onednn(torch.float32):
        pytest.skip("oneDNN has no kernels for this CPU")
    for inner, outer in ((14, 3), (33, 1), (384, 384), (1536, 384)):
        product = Product(torch.randn(outer, inner), torch.randn(outer), BLOCK)
        rows, to = torch.randn(300, inner), torch.randn(300, outer)
        whole = product(rows), product.gelu(rows), product.added(rows, to)
        for part in (slice(0, 1), slice(3, 4), slice(1, 32), slice(5, 70), slice(250, 300)):
            alone = product(rows[part]), product.gelu(rows[part]), product.added(rows[part], to[part])
            assert all(torch.equal(one, all_[part]) for one, all_ in zip(alone, whole, strict=True))


@pytest.fixture
def linear() -> RowLinear:
    module = torch.nn.Sequential(torch.nn.Linear(40, 24)).eval()
    make_batch_invariant(module)
    return module[0]  # type: ignore[return-value]


def result(linear: RowLinear) -> torch.Tensor:
    with torch.no_grad():
        return linear(torch.ones(3, 40))


def expected(linear: RowLinear) -> torch.Tensor:
    with torch.no_grad():
        return F.linear(torch.ones(3, 40), linear.weight, linear.bias)


def step(linear: RowLinear) -> None:
    """As a fused optimizer changes weights: without a new version of the tensor."""
    linear.weight.data.mul_(2.0)


@pytest.mark.parametrize("enter", [RowLinear.train, lambda linear: setattr(linear, "training", True)])
def test_row_linear_after_a_training_step_uses_the_new_weights(linear, enter):
    """Lightning restores the mode after validation without calling train()."""
    before = result(linear)
    enter(linear)
    step(linear)
    torch.testing.assert_close(result(linear), expected(linear))
    step(linear)
    torch.testing.assert_close(result(linear), expected(linear))
    linear.eval()
    torch.testing.assert_close(result(linear), expected(linear))
    assert not torch.allclose(result(linear), before, atol=1e-3)


def test_row_linear_after_load_state_dict_uses_the_new_weights(linear):
    result(linear)
    linear.load_state_dict({name: 2 * value for name, value in linear.state_dict().items()})
    torch.testing.assert_close(result(linear), expected(linear))


def test_row_linear_copies_and_pickles_do_not_share_products(linear):
    before = result(linear)
    for other in (copy.deepcopy(linear), pickle.loads(pickle.dumps(linear))):
        assert other.products == {}
        other.load_state_dict({name: 0 * value for name, value in other.state_dict().items()})
        assert not result(other).any()
    assert torch.equal(result(linear), before)
