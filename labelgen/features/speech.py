"""Frozen encoders of a sound: statistics of log-mel frames, or the states of a speech encoder of transformers, pooled over time."""

import hashlib
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.features.pretrained import is_whisper
from labelgen.features.sound import MELS, log_mel, whisper_mel
from labelgen.kernels.device import one_thread


class LogMelEncoder:
    """Statistics of log-mel bands: mean and deviation over all frames and over the louder half, the 10th, 50th and 90th percentile, and
    the deviations of changes within 10 and 30 ms."""

    width = 9 * MELS
    name = "log-mel"

    def vector(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, " width"]:
        frames = log_mel(samples)
        loudness = frames.mean(dim=1)
        loud = frames[loudness >= loudness.median()]
        percentiles = frames.quantile(torch.tensor([0.1, 0.5, 0.9]), dim=0)
        changes = [_mean_and_deviation(frames[step:] - frames[:-step])[1] for step in (1, 3) if len(frames) > step]
        changes += [torch.zeros(MELS)] * (2 - len(changes))
        return torch.cat([*_mean_and_deviation(frames), *_mean_and_deviation(loud), *percentiles, *changes])


class SpeechEncoder:
    """Mean and deviation of the states of a middle and a late layer of Whisper's encoder, wav2vec 2.0, HuBERT, WavLM or another encoder
    of transformers that reads samples. It is never trained, so a copy shares it.

    Whisper reads frames of its own number, without the padding to 30 seconds of its training.

    Args:
        encoder: of `load_speech_encoder`.
        normalizes: samples get mean 0 and deviation 1 first."""

    def __init__(self, encoder: nn.Module, normalizes: bool) -> None:
        self.encoder: Any = encoder.eval().requires_grad_(False)
        self.normalizes = normalizes
        layers = int(encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
        self.layers = (layers // 2, max(layers - 1, 0))
        self.width = 4 * int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._name = ""

    def __deepcopy__(self, memo: object) -> "SpeechEncoder":
        return self

    @property
    def name(self) -> str:
        """Digest of the weights and of what is done with samples and states."""
        if not self._name:
            digest = hashlib.sha256(f"{self.normalizes} {self.layers}".encode())
            for name, tensor in sorted(self.encoder.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.contiguous().numpy().tobytes())
            self._name = digest.hexdigest()
        return self._name

    def vector(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, " width"]:
        states = self.states(samples)
        return torch.cat([part for layer in self.layers for part in _mean_and_deviation(states[layer])])

    def states(self, samples: Float[Tensor, " samples"]) -> list[Float[Tensor, "frames d"]]:
        """States before the first layer and after each layer but the last, as transformers numbers them."""
        with torch.no_grad(), one_thread():
            if is_whisper(self.encoder):
                return self._whisper_states(whisper_mel(samples, self.encoder.config.num_mel_bins))
            if self.normalizes:
                samples = (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
            hidden = self.encoder(samples[None], output_hidden_states=True).hidden_states
            return [states[0] for states in hidden[:-1]]

    def _whisper_states(self, mels: Float[Tensor, "mels frames"]) -> list[Float[Tensor, "positions d"]]:
        encoder = self.encoder
        hidden = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mels[None])))).transpose(1, 2)
        hidden = hidden[:, : encoder.config.max_source_positions]
        states = [hidden + encoder.embed_positions.weight[: hidden.shape[1]]]
        for layer in encoder.layers[:-1]:
            states.append(layer(states[-1], None))
        return [one[0] for one in states]


SoundEncoder = LogMelEncoder | SpeechEncoder
"""Samples to one vector. name: tells apart encoders that give different vectors. width: of the vector."""


def _mean_and_deviation(frames: Float[Tensor, "frames d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    return frames.mean(dim=0), frames.std(dim=0, correction=0)
