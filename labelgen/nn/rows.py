"""Matrix products that give each row the same bits whatever rows stand beside it.

Of the functions of one number, torch's sigmoid, softplus and silu round differently at the end of a tensor than in its
middle; logsigmoid, exp, log, log1p, tanh and softmax do not, nor does gelu where rows are 32 wide or a multiple of it
(measured on CPUs with AVX-512, for single and double precision). What is decoded uses the latter alone."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_ROWS = 4
"""With fewer rows the libraries choose other kernels, whose last bits differ (measured, docs/decisions.md)."""


def apply_rows(module: nn.Module, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """`module(rows)`, with rows of zeros beside them where there are too few."""
    count = rows.shape[0]
    if count >= LEAST_ROWS:
        out: Tensor = module(rows)
        return out
    filled: Tensor = module(F.pad(rows, (0, 0, 0, LEAST_ROWS - count)))
    return filled[:count]


def score_rows(rows: Float[Tensor, "*n d"], columns: Float[Tensor, "k d"]) -> Float[Tensor, "*n k"]:
    """`rows @ columns.T`. With a single column the libraries sum in an order that depends on the number of rows
    (measured at all widths from 32 to 768; with two columns or more never), so that case is summed row by row."""
    if columns.shape[0] == 1:
        return (rows * columns).sum(-1, keepdim=True)
    return rows @ columns.T
