"""Samples of the sound of turns, their spectrograms and pitch. The only importer of torchaudio."""

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Audio

MELS = 40
"""Mel bands of a frame."""
RATE_HZ = 16_000
MAX_S = 30.0
"""Seconds of a segment that are read; the rest is ignored."""
WINDOW, HOP = 400, 160
"""Samples of a frame, and between the starts of two frames: 25 ms and 10 ms."""
_MIN_POWER = 1e-6
_MAX_READ = 64_000_000
"""Samples of all channels that are read at once: 30 seconds of 20 channels at 96 kHz."""
_MAX_TAPS = 4_000_000
"""Size of a resampling filter. Common rates need less than a million taps; rates with no large common factor need gigabytes."""

Reason = Literal["outside_root", "no_file", "unreadable", "no_channel", "odd_rate", "too_large", "too_short"]


@dataclass(frozen=True, slots=True)
class AudioError:
    """Why a turn's audio was not read. outside_root: the path leaves its folder. no_channel: the file has fewer channels.
    odd_rate: its rate cannot be resampled. too_large: 30 seconds of all channels do not fit into memory. too_short: the segment is shorter than one frame, or starts after the end."""

    reason: Reason


def read_samples(audio: Audio, root: Path) -> Float[Tensor, " samples"] | AudioError:
    """The samples of a turn at RATE_HZ, one frame at least. File content never raises: one broken file must not stop a log.

    Without a channel, the mean of all channels is used.

    Args:
        root: the folder that the path is relative to."""
    loaded = _load(audio, root)
    samples = loaded if isinstance(loaded, AudioError) else resample(*loaded)
    if isinstance(samples, Tensor) and len(samples) < WINDOW:
        return AudioError("too_short")
    return samples


def log_mel(samples: Float[Tensor, " samples"]) -> Float[Tensor, "frames mels"]:
    """Log-mel spectrogram: MELS bands, frames of 25 ms every 10 ms, values from about -2 (silence) to 2 (loud). The level is not
    normalized, since loudness is informative."""
    power: Tensor = _mel_spectrogram(MELS, 20.0, "htk", None, False)(samples)
    return (power.clamp(min=_MIN_POWER).log().T + 6.0) / 4.0


def whisper_mel(samples: Float[Tensor, " samples"], mels: int) -> Float[Tensor, "mels frames"]:
    """The spectrogram that Whisper's encoder reads, without padding to 30 seconds. Source: WhisperFeatureExtractor of transformers."""
    power: Tensor = _mel_spectrogram(mels, 0.0, "slaney", "slaney", True)(samples)[:, :-1]
    logs = power.clamp(min=1e-10).log10()
    return (torch.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0


def pitch_hz(samples: Float[Tensor, " samples"]) -> Float[Tensor, " frames"]:
    """Fundamental frequency every 10 ms, between 60 and 500 Hz, smoothed over 300 ms; of frames without voice it says nothing. Empty for
    less than 50 ms."""
    smoothed = min(30, len(samples) // HOP - 2)
    if smoothed < 3:
        return samples[:0]
    pitch: Tensor = _torchaudio("functional").detect_pitch_frequency(
        samples, RATE_HZ, win_length=smoothed, freq_low=60, freq_high=500
    )
    return pitch


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
            if (end - start) * file.channels > _MAX_READ:
                return AudioError("too_large")
            file.seek(start)
            channels = torch.from_numpy(file.read(end - start, dtype="float32", always_2d=True))
    except (OSError, ValueError, OverflowError, RuntimeError):
        # From soundfile, or a path with a NUL character, a circle of symbolic links, or a time that is not finite.
        return AudioError("unreadable")
    samples = channels.mean(dim=1) if audio.channel is None else channels[:, audio.channel].contiguous()
    return (samples, rate_hz) if bool(samples.isfinite().all()) else AudioError("unreadable")


@lru_cache(maxsize=16)
def _resampler(rate_hz: int) -> Any:
    return _torchaudio("transforms").Resample(rate_hz, RATE_HZ)


@lru_cache(maxsize=4)
def _mel_spectrogram(mels: int, low_hz: float, scale: str, norm: str | None, center: bool) -> Any:
    return _torchaudio("transforms").MelSpectrogram(
        RATE_HZ, WINDOW, hop_length=HOP, f_min=low_hz, n_mels=mels, mel_scale=scale, norm=norm, center=center
    )


@lru_cache(maxsize=1)
def torchaudio_loads() -> bool:
    """Whether torchaudio can be imported; models without sound do without it."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def _torchaudio(part: Literal["functional", "transforms"]) -> Any:
    """A part of torchaudio. Raises UsageError if it cannot be loaded."""
    if not torchaudio_loads():
        raise UsageError("torchaudio cannot be loaded", "model.sound", "see `labelgen doctor`, or use no sound")
    return import_module(f"torchaudio.{part}")
