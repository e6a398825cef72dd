"""Precisions by name, and what torch and Lightning call them; without torch until one is used, so that help is fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["32", "bf16", "onnx", "int8"]
"""Arithmetic that labels are computed in: fp32, bf16, or on a CPU the text encoder by ONNX Runtime, in fp32 (`onnx`) or 8 bits."""
TrainingPrecision = Literal["32", "bf16", "16"]
"""Arithmetic of training; weights stay in 32 bits."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a model computes labels.

    Attributes:
        bits: name of the number format; a certified threshold holds for one.
        torch_name: dtype of torch's autocast; None without autocast.
        onnx: whether ONNX Runtime computes the text encoder."""

    bits: str
    torch_name: str | None = None
    onnx: bool = False

    @property
    def autocast(self) -> "torch.dtype | None":
        """dtype of torch's autocast; None without autocast."""
        import torch

        return None if self.torch_name is None else getattr(torch, self.torch_name)


PRECISIONS: Mapping[Precision, Arithmetic] = {
    "32": Arithmetic("32"),
    "bf16": Arithmetic("bf16", "bfloat16"),
    "onnx": Arithmetic("32", onnx=True),
    "int8": Arithmetic("int8", onnx=True),
}
MIXED: Mapping[TrainingPrecision, Literal["bf16-mixed", "16-mixed"]] = {"bf16": "bf16-mixed", "16": "16-mixed"}
"""Lightning's names of the precisions that are trained in with weights of 32 bits."""
