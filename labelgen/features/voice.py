"""How the requests of a dialogue sound: a vector of a frozen encoder and prosody, relative to the speaker's own turns.

The encoder: statistics of log-mel frames, or the states of a speech encoder of transformers, pooled over time."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.base.files import atomic_write
from labelgen.data.dialogue import SPEAKER, Dialogue, Turn
from labelgen.features.layout import SoundTensors, Voice
from labelgen.features.pretrained import is_whisper
from labelgen.features.sound import HOP, MELS, RATE_HZ, WINDOW, AudioError, log_mel, pitch_hz, read_samples, whisper_mel
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
