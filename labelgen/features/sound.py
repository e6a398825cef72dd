"""Sound of turns as log-mel spectrograms. The only importer of torchaudio."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labelgen.data.dialogue import Audio
from labelgen.features.layout import SoundTensors

MELS = 40
"""Mel bands of a frame."""
RATE_HZ = 16_000
MAX_S = 30.0
"""Seconds of a segment that are read; the rest is ignored."""
_WINDOW, _HOP = 400, 160
"""Samples of a frame, and between the starts of two frames: 25 ms and 10 ms."""
_MIN_POWER = 1e-6
_MAX_TAPS = 4_000_000
"""Size of a resampling filter. Common rates need less than a million taps; rates with no large common factor need gigabytes."""

Reason = Literal["outside_root", "no_file", "unreadable", "no_channel", "odd_rate", "too_short"]


@dataclass(frozen=True, slots=True)
class AudioError:
    """Why a turn's audio was not read. outside_root: the path leaves its folder. no_channel: the file has fewer channels.
    odd_rate: its rate cannot be resampled. too_short: the segment is shorter than one frame, or starts after the end."""

    reason: Reason


class SoundSource:
    """Reads the audio of turns. A turn whose audio cannot be read counts as a turn without audio.

    audio_turns, audio_errors: number of turns whose audio was read, and, by reason, could not be read, in this process."""

    def __init__(self) -> None:
        self.audio_turns = 0
        self.audio_errors: Counter[str] = Counter()

    def tensors(self, turns: Sequence[tuple[Audio | None, Path | None]]) -> SoundTensors | None:
        """Log-mel frames, grouped by exact length; None if no turn has audio. Each turn comes with the root of its path."""
        by_length: dict[int, list[tuple[int, Tensor]]] = {}
        for turn, (audio, root) in enumerate(turns):
            if audio is None or root is None:
                continue
            frames = log_mel(audio, root, MELS)
            if isinstance(frames, AudioError):
                self.audio_errors[frames.reason] += 1
            else:
                self.audio_turns += 1
                by_length.setdefault(len(frames), []).append((turn, frames))
        if not by_length:
            return None
        groups = [by_length[length] for length in sorted(by_length)]
        order = torch.tensor([turn for group in groups for turn, _ in group], dtype=torch.long)
        return SoundTensors(tuple(torch.stack([frames for _, frames in group]) for group in groups), order)


def log_mel(audio: Audio, root: Path, mels: int) -> Float[Tensor, "frames mels"] | AudioError:
    """Log-mel spectrogram of a turn: frames of 25 ms every 10 ms, values from about -2 (silence) to 2 (loud).

    Without a channel, the mean of all channels is used. The level is not normalized, since loudness is informative. File
    content never raises: one broken file must not stop a log.

    Args:
        root: the folder that the path is relative to."""
    loaded = _load(audio, root)
    if isinstance(loaded, AudioError):
        return loaded
    samples = resample(*loaded)
    if isinstance(samples, AudioError):
        return samples
    if len(samples) < _WINDOW:
        return AudioError("too_short")
    power: Tensor = _mel_spectrogram(mels)(samples)
    return (power.clamp(min=_MIN_POWER).log().T + 6.0) / 4.0


def resample(samples: Float[Tensor, " before"], rate_hz: int) -> Float[Tensor, " after"] | AudioError:
    """The samples at RATE_HZ, low-pass filtered where the rate goes down."""
    if rate_hz == RATE_HZ:
        return samples
    common = math.gcd(rate_hz, RATE_HZ)
    if (RATE_HZ // common) * (rate_hz // common) > _MAX_TAPS:
        return AudioError("odd_rate")
    resampled: Tensor = _resampler(rate_hz)(samples)
    return resampled


def _load(audio: Audio, root: Path) -> tuple[Float[Tensor, " samples"], int] | AudioError:
    """Samples of the segment and their rate in Hz."""
    import soundfile

    try:
        path = (root / audio.path).resolve()
        if not path.is_relative_to(root.resolve()):
            return AudioError("outside_root")
        if not path.is_file():
            return AudioError("no_file")
        with soundfile.SoundFile(path) as file:
            rate_hz = int(file.samplerate)
            if audio.channel is not None and not 0 <= audio.channel < file.channels:
                return AudioError("no_channel")
            start = round((audio.start_s or 0.0) * rate_hz)
            end = file.frames if audio.end_s is None else min(file.frames, round(audio.end_s * rate_hz))
            end = min(end, start + round(MAX_S * rate_hz))
            if start < 0 or end <= start:
                return AudioError("too_short")
            file.seek(start)
            channels = torch.from_numpy(file.read(end - start, dtype="float32", always_2d=True))
    except (OSError, ValueError, OverflowError, RuntimeError):
        # From soundfile, or a path with a NUL character, a circle of symbolic links, or a time that is not finite.
        return AudioError("unreadable")
    samples = channels.mean(dim=1) if audio.channel is None else channels[:, audio.channel].contiguous()
    return (samples, rate_hz) if bool(samples.isfinite().all()) else AudioError("unreadable")


@lru_cache(maxsize=16)
def _resampler(rate_hz: int) -> Any:
    return _transforms().Resample(rate_hz, RATE_HZ)


@lru_cache(maxsize=4)
def _mel_spectrogram(mels: int) -> Any:
    return _transforms().MelSpectrogram(
        sample_rate=RATE_HZ, n_fft=_WINDOW, hop_length=_HOP, f_min=20.0, n_mels=mels, center=False
    )


def _transforms() -> Any:
    import torchaudio.transforms

    return torchaudio.transforms
