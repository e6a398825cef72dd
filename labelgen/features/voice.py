"""How the requests of a dialogue sound: a vector of a frozen encoder and prosody, relative to the speaker's own turns."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from labelgen.base.files import atomic_write
from labelgen.data.dialogue import SPEAKER, Dialogue, Turn
from labelgen.features.layout import SoundTensors, Voice
from labelgen.features.sound import HOP, RATE_HZ, WINDOW, AudioError, pitch_hz, read_samples
from labelgen.features.speech import SoundEncoder

PROSODY = (
    *("duration_s", "speech_s", "pause_share", "loudness_db", "loudness_range_db"),
    *("pitch_semitones", "pitch_range_semitones", "words_per_s", "overlap_s"),
)
"""Prosody of a request. speech_s: from the first frame with speech to the last. pause_share: of frames without speech in between. Ranges:
from the 10th to the 90th percentile. pitch: median, above 100 Hz. overlap_s: how long the user still speaks after the response began."""
CACHE = "LABELGEN_SOUND_CACHE"
"""Environment variable with a folder in which vectors are kept by the digests of encoder and samples."""

_OF_SAMPLES = PROSODY.index("words_per_s")
_MOST_CACHED = 256 * 2**20
"""Bytes of vectors that are kept in memory."""
_SPEECH_DB, _VOICED_DB = 30.0, 12.0
"""Frames with speech are at most so much softer than the loudest ones; of the louder ones pitch is measured."""
_LEAST_DB, _LEAST_DEVIATION = -90.0, 1e-5

Floats = NDArray[np.float32]


class SoundSource:
    """Reads the audio of turns. A turn whose audio cannot be read counts as a turn without audio.

    audio_turns, audio_errors: number of turns whose audio was read, and, by reason, could not be read, in this process."""

    def __init__(self, encoder: SoundEncoder) -> None:
        self.encoder = encoder
        self.audio_turns = 0
        self.audio_errors: Counter[str] = Counter()
        self._cached: dict[bytes, Floats] = {}

    def voices(self, dialogue: Dialogue, root: Path | None) -> list[Voice | None]:
        """The voice of each turn; None without audio that can be read. root: the folder that its paths are relative to."""
        heard = [self._heard(turn, root) for turn in dialogue.turns]
        voices: list[Voice | None] = [None] * len(heard)
        by_speaker: dict[str | None, list[int]] = {}
        for t, turn in enumerate(dialogue.turns):
            if heard[t] is not None:
                speaker = next((one.value for one in turn.categories if one.name == SPEAKER), None)
                by_speaker.setdefault(speaker, []).append(t)
        for turns in by_speaker.values():
            rows = np.stack([x for t in turns if (x := heard[t]) is not None]).astype(np.float64)
            for t, whole, so_far in zip(turns, *_relative(rows), strict=True):
                voices[t] = Voice(whole, so_far)
        return voices

    def prosody(self, dialogue: Dialogue, root: Path | None) -> list[dict[str, float] | None]:
        """The known figures of PROSODY of each turn, as measured; None without audio that can be read."""
        heard = [self._heard(turn, root) for turn in dialogue.turns]
        figures = (None if x is None else zip(PROSODY, x[-len(PROSODY) :].tolist(), strict=True) for x in heard)
        return [None if of is None else {name: value for name, value in of if math.isfinite(value)} for of in figures]

    def _heard(self, turn: Turn, root: Path | None) -> Floats | None:
        """Vector and prosody of a turn, NaN where unknown."""
        if turn.audio is None or root is None:
            return None
        samples = read_samples(turn.audio, root)
        if isinstance(samples, AudioError):
            self.audio_errors[samples.reason] += 1
            return None
        self.audio_turns += 1
        return np.concatenate([self._of_samples(samples), _of_turn(turn, samples)])

    def _of_samples(self, samples: Tensor) -> Floats:
        key = hashlib.sha256(samples.numpy().tobytes()).digest()
        if (known := self._cached.get(key)) is not None:
            return known
        folder = os.environ.get(CACHE)
        path = Path(folder, self.encoder.name, f"{key.hex()}.f32") if folder else None
        vector = _read(path) if path is not None and path.is_file() else None
        if vector is None or vector.shape != (self.encoder.width + _OF_SAMPLES,):
            parts = [self.encoder.vector(samples).numpy(), np.array(_prosody(samples), dtype=np.float32)]
            vector = np.concatenate(parts)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    file.write(vector.tobytes())
        if (len(self._cached) + 1) * vector.nbytes <= _MOST_CACHED:
            self._cached[key] = vector
        return vector


def _read(path: Path) -> Floats:
    return np.frombuffer(path.read_bytes(), dtype=np.float32)


def voice_width(encoder: SoundEncoder) -> int:
    """Numbers of a Voice."""
    return encoder.width + 2 * len(PROSODY)


def sound_tensors(voices: Sequence[Voice | None]) -> SoundTensors | None:
    """The voices of a batch's turns; None if there are none."""
    rows = [(turn, voice) for turn, voice in enumerate(voices) if voice is not None]
    if not rows:
        return None
    whole, so_far = (np.stack([getattr(voice, name) for _, voice in rows]) for name in ("whole", "so_far"))
    turns = torch.tensor([turn for turn, _ in rows], dtype=torch.long)
    return SoundTensors(torch.from_numpy(whole), torch.from_numpy(so_far), turns)


def _relative(rows: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Rows of one speaker relative to all of them, and to those up to each, with flags of known prosody; NaN is unknown."""
    known = np.isfinite(rows)
    # Running sums of squares lose no digits where values are near zero.
    values = np.where(known, rows - np.where(known[0], rows[0], 0.0), 0.0)
    count = np.maximum(known.cumsum(axis=0), 1)
    mean = values.cumsum(axis=0) / count
    deviation = np.sqrt(np.maximum((values**2).cumsum(axis=0) / count - mean**2, 0.0))

    def relative(mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> Floats:
        differs = known & (deviation > _LEAST_DEVIATION)
        of_rows = np.divide(values - mean, deviation, out=np.zeros_like(values), where=differs)
        flagged: Floats = np.concatenate([of_rows, known[:, -len(PROSODY) :]], axis=1).astype(np.float32)
        return flagged

    return relative(mean[-1], deviation[-1]), relative(mean, deviation)


def _prosody(samples: Float[Tensor, " samples"]) -> list[float]:
    """Those of PROSODY that samples alone tell, NaN where unknown."""
    duration_s = len(samples) / RATE_HZ
    power = samples.unfold(0, WINDOW, HOP).square().mean(dim=1)
    db = (10.0 * power.clamp(min=1e-12).log10()).numpy()
    loudest = float(np.quantile(db, 0.95))
    if loudest < _LEAST_DB:
        return [duration_s, *[math.nan] * (_OF_SAMPLES - 1)]
    speaks = db > loudest - _SPEECH_DB
    first, last = np.flatnonzero(speaks)[[0, -1]]
    levels = np.quantile(db[speaks], [0.1, 0.9])
    pitch = pitch_hz(samples).numpy()
    frames = min(len(pitch), len(db))
    voiced = pitch[:frames][db[:frames] > loudest - _VOICED_DB]
    semitones = 12.0 * np.log2(np.quantile(voiced, [0.1, 0.5, 0.9]) / 100.0) if len(voiced) else [math.nan] * 3
    return [
        duration_s,
        float(last - first + 1) * HOP / RATE_HZ,
        float(1.0 - speaks[first : last + 1].mean()),
        float(db[speaks].mean()),
        float(levels[1] - levels[0]),
        float(semitones[1]),
        float(semitones[2] - semitones[0]),
    ]


def _of_turn(turn: Turn, samples: Tensor) -> Floats:
    """Those of PROSODY that need the turn."""
    duration_s, words = len(samples) / RATE_HZ, len(turn.request.split())
    overlap_s = math.nan
    if turn.time_s is not None and turn.response_time_s is not None:
        overlap_s = max(0.0, turn.time_s + duration_s - turn.response_time_s)
    return np.array([words / duration_s if words else math.nan, overlap_s], dtype=np.float32)
