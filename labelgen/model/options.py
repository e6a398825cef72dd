"""Options of a model, without torch, so that configs can be read fast."""

from dataclasses import dataclass
from typing import Annotated

from labelgen.base.errors import UsageError
from labelgen.base.options import Count, Range, WholeNumber


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
    windows: Count = 4
    """number of windows of max_tokens tokens in which a longer request or response is read; 1 truncates it"""
    dialogue_layers: WholeNumber = 2
    """number of layers of the dialogue encoder; 0 is the baseline without context"""
    dialogue_width: Count = 384
    """width of turn states"""
    dialogue_heads: Count = 6
    """number of attention heads of the dialogue encoder; divides the width"""
    dialogue_band: Count = 128
    """number of turns before and after it that a turn attends to in each layer of the dialogue encoder"""
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
    label_refresh_steps: Count = 50
    """number of training steps after which label texts are encoded again by the current encoder"""

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
