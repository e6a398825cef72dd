"""What of the hardware's options only the machine can tell."""

from typing import Literal

import torch

from labelgen.tensors.processor import has_bf16
from labelgen.training.options import HardwareOptions


def arithmetic(asked: HardwareOptions) -> Literal["32-true", "bf16-mixed"]:
    """The precision that was asked for; where that is `auto`, the one that is quick here."""
    if asked.precision != "auto":
        return asked.precision
    if asked.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        quick = has_bf16("cuda")
    else:
        quick = asked.accelerator in ("auto", "cpu") and has_bf16("cpu")
    return "bf16-mixed" if quick else "32-true"
