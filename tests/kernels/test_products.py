"""Rows pass a product in blocks of one size, so that what becomes of a row does not depend on the rows beside it."""

import pytest
import torch
from torch.nn import functional as F

from labelgen.kernels import batch_invariant
from labelgen.kernels.batch_invariant import Product, has_onednn

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
def test_any_number_of_rows(product, count):
    rows, to = torch.randn(count, 40), torch.randn(count, 24)
    expected = plain(product, rows)
    torch.testing.assert_close(product(rows), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product.gelu(rows), F.gelu(expected), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product.added(rows, to), expected + to, rtol=1e-5, atol=1e-5)


def test_the_library_meets_one_number_of_rows(product, monkeypatch):
    met = set()

    def counted(call):
        def of(rows, *more):
            met.add(len(rows))
            return call(rows, *more)

        return of

    for name in ("_plain", "_gelu", "_added"):
        monkeypatch.setattr(product, name, counted(getattr(product, name)))
    for count in (1, 31, 32, 33, 100):
        rows = torch.randn(count, 40)
        product(rows)
        product.gelu(rows)
        product.added(rows, torch.randn(count, 24))
    assert met == {BLOCK}


def test_company_and_place_change_no_bit():
    if not has_onednn(torch.float32):
        pytest.skip("oneDNN has no kernels for this CPU")
    for inner, outer in ((14, 3), (33, 1), (384, 384), (1536, 384)):
        product = Product(torch.randn(outer, inner), torch.randn(outer), BLOCK)
        rows, to = torch.randn(300, inner), torch.randn(300, outer)
        whole = product(rows), product.gelu(rows), product.added(rows, to)
        for part in (slice(0, 1), slice(3, 4), slice(1, 32), slice(5, 70), slice(250, 300)):
            alone = product(rows[part]), product.gelu(rows[part]), product.added(rows[part], to[part])
            assert all(torch.equal(one, all_[part]) for one, all_ in zip(alone, whole, strict=True))
