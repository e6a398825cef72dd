"""Options of a model, and precisions by name; without torch, so that configs and help are fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from labelgen.base.errors import UsageError
from labelgen.base.options import Count, Range, WholeNumber

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


@dataclass(frozen=True)
class ModelOptions:
    """Sizes and inputs of the network."""

    encoder: Annotated[str, "NAME"] = "FacebookAI/roberta-base"
    """turn encoder that AutoModel loads: a folder, or a repository of the hub, whose commit NAME@REVISION pins; `labelgen doctor --encoder`
    makes a folder without a hub"""
    encoder_frozen: bool = False
    """training of the other layers on fixed encoder vectors"""
    # The first and last token are not the text's.
    max_tokens: Annotated[int, Range(3), "N"] = 96
    """maximum number of tokens that the encoder reads at once; longer requests and responses are read in windows"""
    dialogue_layers: WholeNumber = 2
    """number of layers of the dialogue encoder; 0 is the baseline without context"""
    dialogue_width: Count = 384
    """width of turn states"""
    dialogue_heads: Count = 6
    """number of attention heads of the dialogue encoder; divides the width"""
    dropout: Annotated[float, Range(0, 1, most_out=True)] = 0.1
    """dropout in the dialogue encoder and on the turns that enter it"""
    leave_out: Annotated[tuple[str, ...], "FEATURE"] = ()
    """turn feature to leave out"""
    words: WholeNumber = 0
    """number of most frequent words of the training log that are read as features besides the encoder's vectors; the model's folder
    names them"""
    sound: bool = False
    """use of the sound of turns"""
    sound_encoder: Annotated[str, "FOLDER"] = ""
    """folder of a speech encoder of transformers, such as Whisper or WavLM, which is not trained; without one, statistics of a spectrogram"""

    def check(self) -> None:
        """Raises UsageError for a width that the heads do not divide, and for an encoder of sound that is not read."""
        if self.sound_encoder and not self.sound:
            raise UsageError("model.sound_encoder is given without sound", "model.sound", "add --model.sound=true")
        if self.dialogue_layers and self.dialogue_width % self.dialogue_heads:
            raise UsageError(
                f"{self.dialogue_heads} heads do not divide a width of {self.dialogue_width}",
                "model.dialogue_heads",
                "give a number that divides model.dialogue_width, or another width",
            )
