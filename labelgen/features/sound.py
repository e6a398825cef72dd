"""The sound of a batch's turns, grouped by exact length.

A turn's request as sound: samples of its segment, resampled, as log-mel frames. The only importer of torchaudio.

Makes torchaudio importable beside a CPU build of torch.

Its published wheels link CUDA libraries, which a CPU build of torch does not bring, so `import torchaudio` fails there;
and transformers imports torchaudio wherever it is installed. Resampling and mel filters are plain torch code that needs
none of these libraries, so the module that loads them is replaced by one that says they are not there."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from labelgen.data.dialogue import Audio
from labelgen.features.layout import SoundTensors

MELS = 40
"""Mel bands of a frame."""


class SoundSource:
    """Reads turns' sound. A turn whose sound cannot be read counts as a turn without: it must not stop the others.

    heard, unheard: how often sound was read, and how often not, by reason; in this process."""

    def __init__(self) -> None:
        self.heard = 0
        self.unheard: Counter[str] = Counter()

    def tensors(self, turns: Sequence[tuple[Audio | None, Path | None]]) -> SoundTensors | None:
        """Log-mel frames of the turns that have sound; None if none has. Each turn comes with the folder that its path
        starts from."""
        if not any(audio is not None and root is not None for audio, root in turns):
            return None
        by_length: dict[int, list[tuple[int, torch.Tensor]]] = {}
        for turn, (audio, root) in enumerate(turns):
            if audio is not None and root is not None:
                frames = log_mel(audio, root, MELS)
                if isinstance(frames, Unheard):
                    self.unheard[frames.reason] += 1
                else:
                    self.heard += 1
                    by_length.setdefault(len(frames), []).append((turn, frames))
        if not by_length:
            return None
        groups = tuple(torch.stack([frames for _, frames in by_length[length]]) for length in sorted(by_length))
        order = [turn for length in sorted(by_length) for turn, _ in by_length[length]]
        return SoundTensors(groups, torch.tensor(order, dtype=torch.long))


RATE_HZ = 16_000
LONGEST_S = 30.0
"""What a segment holds beyond this is not read."""
_WINDOW, _HOP = 400, 160
_LEAST_POWER = 1e-6
# A rate that shares no large factor with ours needs a filter of gigabytes; every rate in use needs under a million.
_MOST_TAPS = 4_000_000

Reason = Literal["outside_root", "no_file", "unreadable", "no_channel", "odd_rate", "too_short"]


@dataclass(frozen=True, slots=True)
class Unheard:
    """Why a turn's sound is absent. outside_root: the path leaves its folder. no_channel: the file has fewer channels.
    odd_rate: its rate cannot be resampled. too_short: the segment holds less than a window, or lies behind the end."""

    reason: Reason


def log_mel(audio: Audio, root: Path, mels: int) -> Float[Tensor, "frames mels"] | Unheard:
    """Log-mel frames of a turn, 25 ms each, one every 10 ms, about -2 (silence) to 2 (loud); or why there are none.

    root: the folder that the path starts from. Without channel, the mean of all is taken. Level is kept, since
    loudness tells of mood. Never raises for what a file holds: one broken file must not stop a log."""
    read = _read(audio, root)
    if isinstance(read, Unheard):
        return read
    samples = resample(*read)
    if isinstance(samples, Unheard):
        return samples
    if len(samples) < _WINDOW:
        return Unheard("too_short")
    power: Tensor = _mel_spectrogram(mels)(samples)
    return (power.clamp(min=_LEAST_POWER).log().T + 6.0) / 4.0


def resample(samples: Float[Tensor, " before"], rate_hz: int) -> Float[Tensor, " after"] | Unheard:
    """The samples at RATE_HZ, low-passed where that is less than their rate."""
    if rate_hz == RATE_HZ:
        return samples
    if _taps(rate_hz) > _MOST_TAPS:
        return Unheard("odd_rate")
    resampled: Tensor = _resampler(rate_hz)(samples)
    return resampled


def _read(audio: Audio, root: Path) -> tuple[Float[Tensor, " samples"], int] | Unheard:
    import soundfile

    try:
        path = (root / audio.path).resolve()
        if not path.is_relative_to(root.resolve()):
            return Unheard("outside_root")
        if not path.is_file():
            return Unheard("no_file")
        with soundfile.SoundFile(path) as file:
            rate_hz = int(file.samplerate)
            if audio.channel is not None and not 0 <= audio.channel < file.channels:
                return Unheard("no_channel")
            start = round((audio.start_s or 0.0) * rate_hz)
            end = file.frames if audio.end_s is None else min(file.frames, round(audio.end_s * rate_hz))
            end = min(end, start + round(LONGEST_S * rate_hz))
            if start < 0 or end <= start:
                return Unheard("too_short")
            file.seek(start)
            channels = torch.from_numpy(file.read(end - start, dtype="float32", always_2d=True))
    except (OSError, ValueError, OverflowError, RuntimeError):
        # What soundfile raises, and a path with a NUL, a symbolic link in a circle, a time that is no number.
        return Unheard("unreadable")
    samples = channels.mean(dim=1) if audio.channel is None else channels[:, audio.channel].contiguous()
    return (samples, rate_hz) if bool(samples.isfinite().all()) else Unheard("unreadable")


def _taps(rate_hz: int) -> int:
    shared = math.gcd(rate_hz, RATE_HZ)
    return (RATE_HZ // shared) * (rate_hz // shared)


@lru_cache(maxsize=16)
def _resampler(rate_hz: int) -> Any:
    return _transforms().Resample(rate_hz, RATE_HZ)


@lru_cache(maxsize=4)
def _mel_spectrogram(mels: int) -> Any:
    return _transforms().MelSpectrogram(
        sample_rate=RATE_HZ, n_fft=_WINDOW, hop_length=_HOP, f_min=20.0, n_mels=mels, center=False
    )


def _transforms() -> Any:
    prepare_torchaudio()
    import torchaudio.transforms

    return torchaudio.transforms


_EXTENSION = "torchaudio._extension"


def prepare_torchaudio() -> None:
    """Let `import torchaudio` succeed, now and in the modules that import it in passing, such as transformers.

    Does nothing where torchaudio is not installed or imported already, where torch has its CUDA libraries, and on
    systems whose wheels link none. May be called any number of times."""
    if sys.platform != "linux" or "torchaudio" in sys.modules or _EXTENSION in sys.modules:
        return
    if find_spec("torchaudio") is None or _torch_has_cuda_libraries():
        return
    sys.modules[_EXTENSION] = _no_extension()


def _torch_has_cuda_libraries() -> bool:
    spec = find_spec("torch")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return any((Path(folder) / "lib" / "libc10_cuda.so").exists() for folder in folders)


def _no_extension() -> ModuleType:
    """The names that torchaudio's Python code asks its extension for, all of them saying no."""
    module = ModuleType(_EXTENSION, "torchaudio without compiled code")
    module.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=lambda function: _refuse,
    )
    return module


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("torchaudio's aligner needs its compiled code, which needs a CUDA build of torch")
