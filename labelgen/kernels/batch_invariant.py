"""Batch-invariant matrix products on a CPU: a row's result is bitwise identical whatever other rows are in the batch.

A library chooses its kernel, and with it the order of its sums, by the number of rows. Some of MKL's kernels also sum
differently at the end of a block than in its middle (docs/explanation/decisions.md). So every library call gets the same
number of rows: rows pass in blocks, and the last block is padded with zeros. Where torch has oneDNN for this CPU, it is
called with weights that are laid out once in its own format.

Of the elementwise functions, torch's sigmoid, softplus and silu round differently at the end of a tensor than in its
middle. logsigmoid, exp, log, log1p, tanh and softmax do not, nor does gelu in single precision on more than one number
(measured at AVX-512 and AVX2). Decoding uses only functions of the second kind."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 32
"""Rows of one call. Few, because a small group of dialogues is padded to this number."""
_ALIGNMENT = 64
"""Alignment in bytes of memory that torch allocates."""

Rows = Float[Tensor, "rows d"]
Wide = Float[Tensor, "rows _"]


def has_onednn(precision: torch.dtype) -> bool:
    """Whether oneDNN's matrix products can be called on this CPU in this precision."""
    return (
        torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512"))
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and (precision != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class Product:
    """Batch-invariant linear map without gradient, on a CPU. The weight is copied into oneDNN's format where possible.

    oneDNN's operators are called by overload name. Without it, torch formats an error message with all tensors for each
    overload that does not match.

    Args:
        block: rows of one call."""

    def __init__(self, weight: Float[Tensor, "_ d"], bias: Float[Tensor, " _"] | None, block: int) -> None:
        self._onednn = has_onednn(weight.dtype)
        weight = weight.detach()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, block) if self._onednn else weight.clone()
        self._bias = None if bias is None else bias.detach()
        self._block = block

    def __call__(self, rows: Rows) -> Wide:
        return self._in_blocks(self._linear, rows)

    def gelu(self, rows: Rows) -> Wide:
        """GELU of the linear map."""
        return self._in_blocks(self._linear_gelu, rows)

    def added(self, rows: Rows, to: Wide) -> Wide:
        """The linear map plus `to`."""
        return self._in_blocks(self._linear_add, rows, to)

    def _in_blocks(self, call: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        count = len(inputs[0])
        if count == self._block and all(map(_is_aligned, inputs)):
            return call(*inputs)
        results = []
        for start in range(0, max(count, 1), self._block):
            parts = [x[start : start + self._block] for x in inputs]
            missing = self._block - len(parts[0])
            parts = [F.pad(x, (0, 0, 0, missing)) if missing or not _is_aligned(x) else x for x in parts]
            results.append(call(*parts))
        return (torch.cat(results) if len(results) > 1 else results[0])[:count]

    def _linear(self, rows: Tensor, after: str = "none", approximation: str = "") -> Tensor:
        if not self._onednn:
            return F.linear(rows, self._weight, self._bias)
        pointwise: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        return pointwise(rows, self._weight, self._bias, after, [], approximation)

    def _linear_gelu(self, rows: Tensor) -> Tensor:
        return self._linear(rows, "gelu", "none") if self._onednn else F.gelu(self._linear(rows))

    def _linear_add(self, rows: Tensor, to: Tensor) -> Tensor:
        if not self._onednn:
            return self._linear(rows) + to
        binary: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.binary
        return binary(rows, to, self._weight, self._bias, "add")


def _is_aligned(x: Tensor) -> bool:
    return x.is_contiguous() and x.data_ptr() % _ALIGNMENT == 0


class RowLinear(nn.Linear):
    """nn.Linear that is batch-invariant in evaluation mode without gradient on a CPU; elsewhere it is nn.Linear.

    Its products copy the weights and are cached in evaluation mode. A pass with gradient, a change to or from training mode
    and loading a state dict drop them; weights that change in another way need one of these. block: rows of one call."""

    block: int
    products: dict[torch.dtype, Product]

    def forward(self, input: Tensor) -> Tensor:
        precision = _precision(input)
        if precision is None:
            self.products.clear()
            return super().forward(input)
        rows = input.reshape(-1, self.in_features).to(precision)
        return self._product(precision)(rows).view(*input.shape[:-1], self.out_features)

    def train(self, mode: bool = True) -> "RowLinear":
        if mode or self.training:
            self.products.clear()
        return super().train(mode)

    def _product(self, precision: torch.dtype) -> Product:
        if not self.training and precision in self.products:
            return self.products[precision]
        bias = None if self.bias is None else self.bias.to(precision)
        product = Product(self.weight.to(precision), bias, self.block)
        if not self.training:
            self.products[precision] = product
        return product

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *args: Any) -> None:
        self.products.clear()
        super()._load_from_state_dict(state_dict, *args)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which make products of their own."""
        return {**vars(self), "products": {}}


def make_batch_invariant(module: nn.Module, block: int = BLOCK) -> None:
    """Turn every nn.Linear of a module into a RowLinear, in place; parameters stay the same objects."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = RowLinear
            vars(part).update(block=block, products={})


def score_rows(rows: Float[Tensor, "*n d"], columns: Float[Tensor, "k d"]) -> Float[Tensor, "*n k"]:
    """`rows @ columns.T`, batch-invariant without gradient on a CPU."""
    precision = _precision(rows)
    if precision is None:
        return rows @ columns.T
    product = Product(columns.to(precision), None, BLOCK)
    return product(rows.reshape(-1, rows.shape[-1]).to(precision)).view(*rows.shape[:-1], len(columns))


def _precision(rows: Tensor) -> torch.dtype | None:
    """Precision of the batch-invariant product for these rows; None where torch's own product is to be called."""
    if torch.is_grad_enabled() or rows.device.type != "cpu":
        return None
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else rows.dtype
    return precision if precision in (torch.float32, torch.bfloat16) else None
