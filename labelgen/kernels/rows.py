"""Linear maps that give each row the same bits whatever rows stand beside it (kernels/products.py), wherever no gradient is asked for.

Of the functions of one number, torch's sigmoid, softplus and silu round differently at the end of a tensor than in its
middle; logsigmoid, exp, log, log1p, tanh and softmax do not, nor does gelu of more than one number in single precision
(measured at AVX-512 and AVX2). What is decoded uses the latter alone."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.kernels.products import Product

BLOCK = 32
"""Rows of a call: few, since a small group of dialogues is filled up to it."""


class RowLinear(nn.Linear):
    """nn.Linear, which it is in training and on other devices. block: rows that pass at once."""

    block: int
    made: "_Made"

    def forward(self, input: Tensor) -> Tensor:
        precision = _precision(input)
        if precision is None:
            return super().forward(input)
        rows = input.reshape(-1, self.in_features).to(precision)
        out = self.made.product(self, precision)(rows)
        return out.view(*input.shape[:-1], self.out_features)


def keep_bits(module: nn.Module, block: int = BLOCK) -> None:
    """Makes every nn.Linear of a module a RowLinear, in place."""
    for part in module.modules():
        if type(part) is nn.Linear:
            # The same weights under the same names, so that whoever holds the map holds it still.
            part.__class__ = RowLinear
            vars(part).update(block=block, made=_Made())


def score_rows(rows: Float[Tensor, "*n d"], columns: Float[Tensor, "k d"]) -> Float[Tensor, "*n k"]:
    """`rows @ columns.T`."""
    precision = _precision(rows)
    if precision is None:
        return rows @ columns.T
    product = Product(columns.to(precision), None, BLOCK)
    return product(rows.reshape(-1, rows.shape[-1]).to(precision)).view(*rows.shape[:-1], len(columns))


def _precision(rows: Tensor) -> torch.dtype | None:
    """What a product of these is computed in; None where torch's own is to be called."""
    if torch.is_grad_enabled() or rows.device.type != "cpu":
        return None
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else rows.dtype
    return precision if precision in (torch.float32, torch.bfloat16) else None


class _Made:
    """A map's product, made anew where its weights have changed; a copy of the map makes its own."""

    def __init__(self) -> None:
        self._of: tuple[Any, ...] | None = None
        self._product: Product | None = None

    def __deepcopy__(self, memo: object) -> "_Made":
        return _Made()

    def __reduce__(self) -> tuple[type["_Made"], tuple[()]]:
        return _Made, ()

    def product(self, linear: RowLinear, precision: torch.dtype) -> Product:
        of = (precision, linear.block, _state(linear.weight), _state(linear.bias))
        if self._product is None or self._of != of:
            bias = None if linear.bias is None else linear.bias.to(precision)
            self._product = Product(linear.weight.to(precision), bias, linear.block)
            self._of = of
        return self._product


def _state(tensor: Tensor | None) -> tuple[int, int] | None:
    """Which numbers a tensor holds: where they lie, and how often they were written to."""
    if tensor is None:
        return None
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
