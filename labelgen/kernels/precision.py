"""Precisions by name, and what torch and Lightning call them; without torch until one is used, so that help is fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["32", "bf16", "int8"]
"""Arithmetic that labels are computed in; int8 applies to the text encoder, on a CPU."""
TrainingPrecision = Literal["32", "bf16", "16"]
"""Arithmetic of training; weights stay in 32 bits."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """torch_name: its dtype in torch, for the encoder. autocast: whether other products use that dtype too."""

    torch_name: str
    autocast: bool = False

    @property
    def dtype(self) -> "torch.dtype":
        import torch

        dtype: torch.dtype = getattr(torch, self.torch_name)
        return dtype


PRECISIONS: Mapping[Precision, Arithmetic] = {
    "32": Arithmetic("float32"),
    "bf16": Arithmetic("bfloat16", autocast=True),
    "int8": Arithmetic("int8"),
}
MIXED: Mapping[TrainingPrecision, Literal["bf16-mixed", "16-mixed"]] = {"bf16": "bf16-mixed", "16": "16-mixed"}
"""Lightning's names of the precisions that are trained in with weights of 32 bits."""
