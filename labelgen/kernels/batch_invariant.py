"""Matrix products that give each row the same bits whatever rows stand beside it.

A library chooses its kernel, and with it the order of its sums, by the number of rows, and some of MKL's kernels sum otherwise at
the end of a block than in its middle (docs/explanation/decisions.md says where that was measured). So every call of a library has one number of
rows: rows are handed over in blocks, the last filled up with zeros. And where torch has oneDNN for this CPU it is called, with weights laid out once as
its kernels read them.

Linear maps that give each row the same bits whatever rows stand beside it (kernels/batch_invariant.py), wherever no gradient is asked for.

Of the functions of one number, torch's sigmoid, softplus and silu round differently at the end of a tensor than in its
middle; logsigmoid, exp, log, log1p, tanh and softmax do not, nor does gelu of more than one number in single precision
(measured at AVX-512 and AVX2). What is decoded uses the latter alone."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Rows = Float[Tensor, "rows d"]
Wide = Float[Tensor, "rows _"]

_ALIGNED = 64
"""Bytes: where memory that torch has just taken begins."""


def has_onednn(precision: torch.dtype) -> bool:
    """Whether oneDNN's products can be called here, in this precision."""
    return (
        torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512"))
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and (precision != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class Product:
    """Rows times a weight, plus a bias, on a CPU and without gradient. block: rows of each call.

    Overloads of oneDNN's operators are called by name: to choose between them, torch writes the tensors of each that does not fit
    into a message."""

    def __init__(self, weight: Float[Tensor, "_ d"], bias: Float[Tensor, " _"] | None, block: int) -> None:
        self._onednn = has_onednn(weight.dtype)
        weight = weight.detach()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, block) if self._onednn else weight.clone()
        self._bias = None if bias is None else bias.detach()
        self._block = block

    def __call__(self, rows: Rows) -> Wide:
        return self._in_blocks(self._plain, rows)

    def gelu(self, rows: Rows) -> Wide:
        return self._in_blocks(self._gelu, rows)

    def added(self, rows: Rows, to: Wide) -> Wide:
        """The product plus `to`."""
        return self._in_blocks(self._added, rows, to)

    def _in_blocks(self, call: Callable[..., Tensor], *given: Tensor) -> Tensor:
        count = len(given[0])
        if count == self._block and all(_aligned(x) for x in given):
            return call(*given)
        done = []
        for start in range(0, max(count, 1), self._block):
            own = [x[start : start + self._block] for x in given]
            missing = self._block - len(own[0])
            own = [F.pad(x, (0, 0, 0, missing)) if missing or not _aligned(x) else x for x in own]
            done.append(call(*own))
        return (torch.cat(done) if len(done) > 1 else done[0])[:count]

    def _plain(self, rows: Tensor) -> Tensor:
        if not self._onednn:
            return F.linear(rows, self._weight, self._bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise.default(rows, self._weight, self._bias, "none", [], "")
        return out

    def _gelu(self, rows: Tensor) -> Tensor:
        if not self._onednn:
            return F.gelu(F.linear(rows, self._weight, self._bias))
        out: Tensor = torch.ops.mkldnn._linear_pointwise.default(rows, self._weight, self._bias, "gelu", [], "none")
        return out

    def _added(self, rows: Tensor, to: Tensor) -> Tensor:
        if not self._onednn:
            return F.linear(rows, self._weight, self._bias) + to
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, to, self._weight, self._bias, "add")
        return out


def _aligned(x: Tensor) -> bool:
    return x.is_contiguous() and x.data_ptr() % _ALIGNED == 0


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
