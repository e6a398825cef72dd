"""Matrix products that give each row the same bits whatever rows stand beside it.

A library chooses its kernel, and with it the order of its sums, by the number of rows, and some of MKL's kernels sum otherwise at
the end of a block than in its middle (docs/explanation/decisions.md says where that was measured). So every call of a library has one number of
rows: rows are handed over in blocks, the last filled up with zeros. And where torch has oneDNN for this CPU it is called, with weights laid out once as
its kernels read them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
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
