"""Audio test signal instead of speech: tones whose pitch, loudness and pace increase with the user's annoyance.

The signal contains no words. It tests audio features with known ground truth: mood is audible, content is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RATE_HZ = 8000
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Voice:
    """Parameters of the signal. pitch_hz: of the calm user. annoyance: of each turn, 0..1. segments: `[start_s, end_s)` of each turn in
    the file."""

    pitch_hz: float
    annoyance: tuple[float, ...]
    segments: tuple[tuple[float, float], ...]


def segments(requests: Sequence[str], annoyance: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Segments of the requests in the file: 0.05 seconds a word, faster when annoyed, with pauses between them."""
    pieces = []
    at = 0.0
    for request, mood in zip(requests, annoyance, strict=True):
        length = 0.15 + 0.05 * len(request.split()) * (1.0 - 0.4 * mood)
        pieces.append((round(at, 3), round(at + length, 3)))
        at += length + _PAUSE_S
    return tuple(pieces)


def wave(voice: Voice) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """Samples of the whole dialogue in -1..1 at RATE_HZ."""
    import numpy as np

    samples = np.zeros(round(voice.segments[-1][1] * RATE_HZ), dtype=np.float32)
    for (start_s, end_s), mood in zip(voice.segments, voice.annoyance, strict=True):
        start, end = round(start_s * RATE_HZ), min(round(end_s * RATE_HZ), len(samples))
        time_s = np.arange(end - start) / RATE_HZ
        pitch = voice.pitch_hz * (1.0 + 0.5 * mood)
        # Five to nine syllables a second, and a pitch with more vibrato in an angry voice.
        phase = 2 * np.pi * pitch * time_s + (0.5 + 3.0 * mood) * np.sin(2 * np.pi * 4.0 * time_s)
        tone = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)
        syllables = 0.55 + 0.45 * np.sin(2 * np.pi * (5.0 + 4.0 * mood) * time_s)
        samples[start:end] = (0.12 + 0.4 * mood) * tone / 1.6 * syllables
    return samples


def write_sound(path: Path, voice: Voice) -> None:
    """Write the dialogue as a 16-bit mono WAV file. Raises StorageError if it cannot be written."""
    import soundfile

    from labelgen.base.files import atomic_write

    with atomic_write(path) as file:
        soundfile.write(file, wave(voice), RATE_HZ, format="WAV", subtype="PCM_16")
