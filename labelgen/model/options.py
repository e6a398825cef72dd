"""What can be set of a model; without torch, so that configs can be read fast."""

from dataclasses import dataclass

PRECISIONS = ("32", "bf16", "int8")
"""What labels are computed in; training has precisions of its own."""


@dataclass(frozen=True)
class ModelOptions:
    encoder: str = "FacebookAI/roberta-base"
    """Turn encoder: any name or folder that AutoModel loads; `labelgen encoder` makes a folder without a hub."""
    encoder_frozen: bool = False
    """Train the rest on the encoder's vectors as they are."""
    max_tokens: int = 96
    """Tokens of a request or response that are read; what lies beyond is cut."""
    dialogue_layers: int = 2
    """Layers of the dialogue encoder; 0 is the baseline without context."""
    dialogue_width: int = 384
    """Width of turn states."""
    dialogue_heads: int = 6
    """Attention heads of the dialogue encoder; they divide the width."""
    dialogue_band: int = 128
    """Turns before and after it that a turn sees in each layer of the dialogue encoder."""
    dropout: float = 0.1
    """Dropout in the dialogue encoder and on the turns that enter it."""
    leave_out: tuple[str, ...] = ()
    """Names of turn features that are not read."""
    words: int = 0
    """Most words of requests and responses that are read by themselves, beside the encoder's vectors; the most frequent of
    the training log. The model's folder names them."""
    sound: bool = False
    """Read the sound of turns that have some."""
    label_refresh_steps: int = 50
    """Steps of training after which the texts of labels are encoded anew by the encoder as it is then."""
