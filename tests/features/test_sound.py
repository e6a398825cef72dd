"""Sound of turns, and torchaudio with a CPU build of torch."""

import math
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from labelgen.base import torchaudio
from labelgen.base.torchaudio import prepare_torchaudio
from labelgen.data.dialogue import Audio
from labelgen.data.stats import audio_summary
from labelgen.features.sound import MAX_S, MELS, RATE_HZ, AudioError, SoundSource, log_mel
from labelgen.nn.turn_fusion import AudioEncoder


def tone(hertz: float, seconds: float, rate: int = RATE_HZ, loudness: float = 0.5) -> np.ndarray:
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE_HZ) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def heard(root: Path, name: str, **segment) -> torch.Tensor:
    frames = log_mel(Audio(path=name, **segment), root, MELS)
    assert isinstance(frames, torch.Tensor), frames
    return frames


def center_of_band_hz(band: int) -> float:
    """Source: the HTK mel scale, mel = 2595 log10(1 + f/700), from 20 Hz to half the rate."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (20.0, RATE_HZ / 2))
    return 700 * (10 ** ((low + (high - low) * (band + 1) / (MELS + 1)) / 2595) - 1)


@pytest.mark.parametrize("band", [3, 38])
@pytest.mark.parametrize("rate", [RATE_HZ, 44_100])
def test_log_mel_tone_at_any_rate_peaks_in_its_band(tmp_path: Path, band: int, rate: int):
    write(tmp_path / "a.wav", tone(center_of_band_hz(band), 0.5, rate), rate)
    assert heard(tmp_path, "a.wav").mean(dim=0).argmax() == band


def test_log_mel_frames_are_25_ms_long_every_10_ms(tmp_path: Path):
    write(tmp_path / "a.wav", tone(300, 0.5))
    assert heard(tmp_path, "a.wav").shape == (1 + (8000 - 400) // 160, MELS)


def test_log_mel_louder_sound_gives_larger_values(tmp_path: Path):
    write(tmp_path / "loud.wav", tone(500, 0.3))
    write(tmp_path / "quiet.wav", tone(500, 0.3, loudness=0.05))
    difference = heard(tmp_path, "loud.wav").amax() - heard(tmp_path, "quiet.wav").amax()
    assert float(difference) == pytest.approx(math.log(100) / 4, abs=1e-3)


def test_resample_tone_equals_tone_at_target_rate(tmp_path: Path):
    write(tmp_path / "a.wav", tone(440, 0.5))
    write(tmp_path / "b.wav", tone(440, 0.5, 8000), 8000)
    a, b = heard(tmp_path, "a.wav"), heard(tmp_path, "b.wav")
    assert a.shape == b.shape
    band = int(a.mean(dim=0).argmax())
    torch.testing.assert_close(a[2:-2, band], b[2:-2, band], atol=0.02, rtol=0)


@pytest.mark.parametrize("rate", [8000, RATE_HZ])
def test_log_mel_segment_equals_file_of_the_segment(tmp_path: Path, rate: int):
    call = np.concatenate([tone(200, 0.4, rate), tone(900, 0.4, rate), tone(2000, 0.4, rate)])
    write(tmp_path / "call.wav", call, rate)
    write(tmp_path / "cut.wav", call[round(0.35 * rate) : round(0.85 * rate)], rate)
    torch.testing.assert_close(
        heard(tmp_path, "call.wav", start_s=0.35, end_s=0.85), heard(tmp_path, "cut.wav"), rtol=0, atol=0
    )
    torch.testing.assert_close(
        heard(tmp_path, "call.wav", start_s=0.0, end_s=99.0), heard(tmp_path, "call.wav"), rtol=0, atol=0
    )


def test_log_mel_channel_is_selected_or_averaged(tmp_path: Path):
    left, right = tone(300, 0.3), tone(3000, 0.3)
    write(tmp_path / "both.wav", np.stack([left, right], axis=1))
    for channel, alone in enumerate((left, right)):
        write(tmp_path / "one.wav", alone)
        torch.testing.assert_close(
            heard(tmp_path, "both.wav", channel=channel), heard(tmp_path, "one.wav"), rtol=0, atol=0
        )
    write(tmp_path / "mean.wav", (left + right) / 2)
    torch.testing.assert_close(heard(tmp_path, "both.wav"), heard(tmp_path, "mean.wav"), rtol=0, atol=1e-5)


def test_log_mel_long_segment_is_truncated(tmp_path: Path):
    write(tmp_path / "a.wav", tone(300, MAX_S + 5, 1000), 1000)
    torch.testing.assert_close(heard(tmp_path, "a.wav"), heard(tmp_path, "a.wav", end_s=MAX_S), rtol=0, atol=0)


def test_log_mel_unreadable_audio_returns_reason(tmp_path: Path):
    root = tmp_path / "log"
    root.mkdir()
    write(tmp_path / "secret.wav", tone(300, 0.5))
    write(root / "a.wav", tone(300, 0.5))
    write(root / "empty.wav", np.zeros(0, dtype=np.float32))
    write(root / "nan.wav", np.full(8000, np.nan, dtype=np.float32))
    write(root / "odd.wav", tone(300, 0.5, 44_101), 44_101)
    (root / "text.wav").write_text("no sound")
    (root / "zero.wav").write_bytes(b"")
    (root / "torn.wav").write_bytes((root / "a.wav").read_bytes()[:30])
    (root / "folder.wav").mkdir()
    (root / "link.wav").symlink_to(tmp_path / "secret.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    cases = {
        "outside_root": [
            Audio(path="../secret.wav"),
            Audio(path=str(tmp_path / "secret.wav")),
            Audio(path="link.wav"),
            Audio(path="/etc/passwd"),
        ],
        "no_file": [Audio(path="missing.wav"), Audio(path="folder.wav"), Audio(path="")],
        "unreadable": [
            Audio(path="text.wav"),
            Audio(path="zero.wav"),
            Audio(path="torn.wav"),
            Audio(path="nan.wav"),
            Audio(path="loop.wav"),
            Audio(path="a\0.wav"),
            Audio(path="a.wav", start_s=math.nan),
            Audio(path="a.wav", end_s=math.inf),
        ],
        "no_channel": [Audio(path="a.wav", channel=1), Audio(path="a.wav", channel=-1)],
        "odd_rate": [Audio(path="odd.wav")],
        "too_short": [
            Audio(path="empty.wav"),
            Audio(path="a.wav", start_s=0.1, end_s=0.1),
            Audio(path="a.wav", start_s=0.2, end_s=0.1),
            Audio(path="a.wav", start_s=0.1, end_s=0.12),
            Audio(path="a.wav", start_s=9.0),
            Audio(path="a.wav", start_s=-1.0, end_s=0.4),
        ],
    }
    for reason, sounds in cases.items():
        for audio in sounds:
            assert log_mel(audio, root, MELS) == AudioError(reason), audio  # type: ignore[arg-type]


def test_sound_source_batch_is_grouped_by_length_and_errors_counted(tmp_path: Path):
    for name, seconds in (("a", 0.5), ("b", 0.3), ("c", 0.5)):
        write(tmp_path / f"{name}.wav", tone(400, seconds))
    source = SoundSource()
    turns = [Audio(path="a.wav"), None, Audio(path="b.wav"), Audio(path="missing.wav"), Audio(path="c.wav")]
    sound = source.tensors([(audio, tmp_path) for audio in turns])
    assert sound is not None
    assert sound.turn.tolist() == [2, 0, 4]
    assert [len(group) for group in sound.groups] == [1, 2]
    torch.testing.assert_close(sound.groups[1][1], heard(tmp_path, "c.wav"), rtol=0, atol=0)
    assert (source.audio_turns, source.audio_errors) == (3, {"no_file": 1})
    assert audio_summary(source.audio_turns, source.audio_errors) == "sound: 3 of 4 read; not read: no_file 1"
    assert source.tensors([(None, tmp_path), (Audio(path="a.wav"), None)]) is None
    assert source.tensors([(Audio(path="missing.wav"), tmp_path)]) is None


@pytest.mark.parametrize("frames", [1, 7, 98])
def test_audio_encoder_any_batch_is_the_same(frames: int):
    encoder = AudioEncoder(MELS, 16).eval()
    sounds = torch.randn(9, frames, MELS)
    with torch.inference_mode():
        together = encoder(sounds)
        alone = torch.cat([encoder(sounds[k : k + 1]) for k in range(9)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.unique(dim=0).shape == (9, 16)


EXTENSION = "torchaudio._extension"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine with torch's libraries in the folder that is given, and torchaudio not imported yet."""
    (tmp_path / "lib").mkdir()
    spec = ModuleSpec("torch", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(torchaudio, "find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("torchaudio", EXTENSION):
        monkeypatch.setitem(sys.modules, name, sys)  # so that what is there now comes back after the test
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "lib"


def test_prepare_torchaudio_without_cuda_libraries_replaces_extension(machine: Path):
    prepare_torchaudio()
    extension = sys.modules[EXTENSION]
    assert extension._IS_TORCHAUDIO_EXT_AVAILABLE is False
    assert extension._IS_ALIGN_AVAILABLE is False
    with pytest.raises(RuntimeError, match="needs a CUDA build"):
        extension.fail_if_no_align(len)([])


def test_prepare_torchaudio_with_cuda_libraries_changes_nothing(machine: Path):
    (machine / "libc10_cuda.so").touch()
    prepare_torchaudio()
    assert EXTENSION not in sys.modules


def test_prepare_torchaudio_not_installed_or_not_linux_changes_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    prepare_torchaudio()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torchaudio, "find_spec", lambda name: None)
    prepare_torchaudio()
    assert EXTENSION not in sys.modules
