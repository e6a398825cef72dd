"""Voices: frozen speech encoders beside transformers, prosody, what is relative to whom, and the cache."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from small_training import SMALL, labeled_log

from labelgen.base.errors import IntegrityError
from labelgen.data.dialogue import SPEAKER, Audio, Category, Dialogue, Turn
from labelgen.data.stats import audio_summary
from labelgen.features.pretrained import load_speech_encoder
from labelgen.features.sound import RATE_HZ
from labelgen.features.voice import (
    CACHE,
    PROSODY,
    LogMelEncoder,
    SoundSource,
    SpeechEncoder,
    sound_tensors,
    voice_width,
)

KINDS = ("whisper", "wav2vec2", "hubert", "wavlm")
FRAMES = 100


def noise(seconds: float, seed: int = 0, loudness: float = 0.1) -> np.ndarray:
    return (loudness * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def buzz(hertz: float, seconds: float, loudness: float = 0.3) -> np.ndarray:
    """A voice-like sound: ten harmonics."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    waves = np.stack([np.sin(2 * np.pi * hertz * k * times) / k for k in range(1, 11)])
    return (loudness * waves.sum(axis=0)).astype(np.float32)


def speech_model(kind: str):
    """A small model of transformers with random weights."""
    import transformers as hub

    torch.manual_seed(0)
    if kind == "whisper":
        sizes = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_source_positions": FRAMES // 2}
        ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
        return hub.WhisperModel(hub.WhisperConfig(vocab_size=60, **sizes, **heads, **ids)).eval()
    name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    conv = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    return getattr(hub, f"{name}Model")(getattr(hub, f"{name}Config")(**sizes, **conv)).eval()


def hidden_states(kind: str, model, samples: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As transformers computes them from samples."""
    import transformers as hub

    extractor = hub.WhisperFeatureExtractor() if kind == "whisper" else hub.Wav2Vec2FeatureExtractor()
    inputs = extractor(samples.numpy(), sampling_rate=RATE_HZ, padding="longest", return_tensors="pt")
    with torch.no_grad():
        if kind == "whisper":
            return model.encoder(inputs.input_features, output_hidden_states=True).hidden_states
        return model(inputs.input_values, output_hidden_states=True).hidden_states


@pytest.mark.parametrize("kind", KINDS)
def test_states_equal_those_of_transformers(tmp_path: Path, kind: str):
    model, samples = speech_model(kind), torch.from_numpy(noise(FRAMES / 100))
    model.save_pretrained(tmp_path)
    encoder = SpeechEncoder(*load_speech_encoder(str(tmp_path)))
    expected = hidden_states(kind, model, samples)
    states = encoder.states(samples)
    assert len(states) == len(expected) - 1
    for ours, theirs in zip(states, expected, strict=False):
        torch.testing.assert_close(ours, theirs[0], rtol=0, atol=1e-4)
    middle, late = expected[1][0], expected[2][0]
    pooled = [middle.mean(0), middle.std(0, correction=0), late.mean(0), late.std(0, correction=0)]
    torch.testing.assert_close(encoder.vector(samples), torch.cat(pooled), rtol=0, atol=1e-4)
    assert encoder.vector(samples).shape == (encoder.width,)


def test_load_speech_encoder_without_some_weights_is_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    speech_model("whisper").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in weights if name.startswith("encoder.layers.0"))
    save_file({k: x for k, x in weights.items() if k != lost}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(IntegrityError, match=r"encoder\.layers\.0"):
        load_speech_encoder(str(tmp_path))


def spoken(root: Path, *sounds: np.ndarray | None, speakers: str = "", **more: Any) -> Dialogue:
    turns = []
    for k, samples in enumerate(sounds):
        if samples is not None:
            soundfile.write(root / f"{k}.wav", samples, RATE_HZ, subtype="FLOAT")
        categories = (Category(name=SPEAKER, value=speakers[k]),) if speakers else ()
        audio = None if samples is None else Audio(path=f"{k}.wav")
        turns.append(Turn(request="one two three", response="", audio=audio, categories=categories, **more))
    return Dialogue(id="d", turns=tuple(turns))


def test_prosody_of_known_sounds(tmp_path: Path):
    silence = np.zeros(RATE_HZ // 2, dtype=np.float32)
    pause = np.concatenate([buzz(200, 0.5), silence, buzz(200, 0.5)])
    dialogue = spoken(tmp_path, buzz(200, 1.0), buzz(200, 1.0, 0.03), buzz(100, 1.0), pause, silence, None)
    *figures, silent, nothing = SoundSource(LogMelEncoder()).prosody(dialogue, tmp_path)
    assert nothing is None
    assert silent == {"duration_s": 0.5, "words_per_s": 6.0}
    plain, soft, low, paused = (one or {} for one in figures)
    assert plain["duration_s"] == 1.0
    assert plain["words_per_s"] == 3.0
    assert plain["loudness_db"] - soft["loudness_db"] == pytest.approx(20.0, abs=0.01)
    assert plain["pitch_semitones"] == pytest.approx(12.0, abs=0.5)
    assert low["pitch_semitones"] == pytest.approx(0.0, abs=0.5)
    assert plain["pitch_range_semitones"] == pytest.approx(0.0, abs=0.5)
    assert plain["pause_share"] == 0.0
    assert paused["pause_share"] == pytest.approx(1 / 3, abs=0.03)
    assert paused["speech_s"] == pytest.approx(1.5, abs=0.05)
    assert "overlap_s" not in plain
    (late,) = SoundSource(LogMelEncoder()).prosody(
        spoken(tmp_path, buzz(200, 1.0), time_s=2.0, response_time_s=2.75), tmp_path
    )
    assert late is not None
    assert late["overlap_s"] == pytest.approx(0.25)


def test_voices_are_relative_to_the_speakers_own_turns(tmp_path: Path):
    sounds = [noise(0.3, seed, 0.05 + 0.03 * seed) for seed in range(6)]
    source = SoundSource(LogMelEncoder())
    voices = source.voices(spoken(tmp_path, *sounds, speakers="abaaba"), tmp_path)
    width = source.encoder.width + len(PROSODY)
    for speaker in ((0, 2, 3, 5), (1, 4)):
        whole = np.stack([voices[t].whole for t in speaker])  # type: ignore[union-attr]
        moves = whole[:, :width].std(axis=0) > 0
        assert moves[: source.encoder.width].all()
        np.testing.assert_allclose(whole[:, :width].mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(whole[:, :width][:, moves].std(axis=0), 1.0, atol=1e-4)
        flags = dict(zip(PROSODY, whole[0, width:], strict=True))
        assert flags.pop("overlap_s") == 0.0
        assert set(flags.values()) == {1.0}
    assert voice_width(source.encoder) == len(whole[0])


def test_voices_so_far_do_not_depend_on_later_turns(tmp_path: Path):
    sounds = [noise(0.3, seed) for seed in range(5)]
    source = SoundSource(LogMelEncoder())
    whole = source.voices(spoken(tmp_path, *sounds), tmp_path)
    cut = source.voices(spoken(tmp_path, *sounds[:3]), tmp_path)
    for one, two in zip(whole, cut, strict=False):
        assert one is not None
        assert two is not None
        assert np.array_equal(one.so_far, two.so_far)
    assert whole[4] is not None
    assert np.array_equal(whole[4].whole, whole[4].so_far)
    assert not np.array_equal(whole[2].whole, whole[2].so_far)  # type: ignore[union-attr]


def test_voices_missing_ones_are_none_and_counted(tmp_path: Path):
    source = SoundSource(LogMelEncoder())
    dialogue = spoken(tmp_path, noise(0.3), None, noise(0.3, 1))
    lost = Turn(request="x", response="", audio=Audio(path="lost.wav"))
    voices = source.voices(Dialogue(id="d", turns=(*dialogue.turns, lost)), tmp_path)
    assert [voice is not None for voice in voices] == [True, False, True, False]
    assert audio_summary(source.audio_turns, source.audio_errors) == "sound: 2 of 3 read; not read: no_file 1"
    tensors = sound_tensors(voices)
    assert tensors is not None
    assert tensors.turn.tolist() == [0, 2]
    torch.testing.assert_close(tensors.whole[1], torch.from_numpy(voices[2].whole))  # type: ignore[union-attr]
    assert sound_tensors([None, None]) is None
    assert SoundSource(LogMelEncoder()).voices(dialogue, None) == [None] * 3


class CountingEncoder(LogMelEncoder):
    calls = 0

    def vector(self, samples: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().vector(samples)


def test_cache_folder_spares_encoding_and_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    dialogue = spoken(tmp_path, noise(0.3), noise(0.3, 1))
    first, second = CountingEncoder(), CountingEncoder()
    ours, theirs = (SoundSource(one).voices(dialogue, tmp_path) for one in (first, second))
    assert (first.calls, second.calls) == (2, 0)
    assert [x.whole.tobytes() for x in ours if x] == [x.whole.tobytes() for x in theirs if x]
    for path in (tmp_path / "cache").rglob("*.f32"):
        path.write_bytes(path.read_bytes()[:40])
    torn = CountingEncoder()
    again = SoundSource(torn).voices(dialogue, tmp_path)
    assert torn.calls == 2
    assert [x.whole.tobytes() for x in ours if x] == [x.whole.tobytes() for x in again if x]


def test_model_of_text_without_torchaudio_trains_and_labels(tiny_encoder: Path, tmp_path: Path):
    """torchaudio is installed, and fails as it does beside another build of torch."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('libtorch_cuda.so: no such file')")
    log = labeled_log(tmp_path / "log.jsonl", range(2))
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from labelgen.cli.main import main\n"
        f"train = ['finetune', '--config=public_cpu', '--data.train=[{log}]', '--out={tmp_path / 'run'}',"
        f" '--model.encoder={tiny_encoder}', '--targets.annotators=[anna]', '--tracking.wandb=off', '--length.keep=last', *{SMALL!r}]\n"
        f"label = ['label', {str(log)!r}, {str(tmp_path / 'labeled')!r}, '--model={tmp_path / 'run' / 'model'}']\n"
        "print(main(train), main(label), file=open('codes.txt', 'w'))"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path)
    assert (tmp_path / "codes.txt").read_text() == "0 0\n"
