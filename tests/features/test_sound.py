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
from labelgen.features.sound import MAX_S, MELS, RATE_HZ, AudioError, log_mel, read_samples


def tone(hertz: float, seconds: float, rate: int = RATE_HZ, loudness: float = 0.5) -> np.ndarray:
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE_HZ) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def heard(root: Path, name: str, **segment) -> torch.Tensor:
    samples = read_samples(Audio(path=name, **segment), root)
    assert isinstance(samples, torch.Tensor), samples
    return log_mel(samples)


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
            assert read_samples(audio, root) == AudioError(reason), audio  # type: ignore[arg-type]


def test_log_mel_call_of_three_hours_is_read_at_its_segment(tmp_path: Path):
    call = np.zeros(3 * 3600 * 500, dtype=np.float32)
    call[-1000:] = tone(100, 2.0, 500)
    soundfile.write(tmp_path / "call.wav", call, 500, subtype="PCM_U8")
    end_s = 3 * 3600.0
    loud = heard(tmp_path, "call.wav", start_s=end_s - 2, end_s=end_s)
    assert loud.mean() > heard(tmp_path, "call.wav").mean()
    assert len(heard(tmp_path, "call.wav")) == 1 + (round(MAX_S * RATE_HZ) - 400) // 160


def test_log_mel_half_a_file_is_read_as_far_as_it_goes(tmp_path: Path):
    whole = write(tmp_path / "a.wav", tone(300, 1.0)).read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    half = heard(tmp_path, "half.wav")
    torch.testing.assert_close(half, heard(tmp_path, "a.wav")[: len(half)], rtol=0, atol=0)
    soundfile.write(tmp_path / "b.ogg", tone(300, 1.0), RATE_HZ)
    (tmp_path / "half.ogg").write_bytes((tmp_path / "b.ogg").read_bytes()[:-2000])
    samples = read_samples(Audio(path="half.ogg"), tmp_path)
    assert isinstance(samples, AudioError) or len(samples) < RATE_HZ


@pytest.mark.parametrize("field", [(22, 2, 2), (24, 4, 2**30), (24, 4, 0), (40, 4, 2**32 - 1), (40, 4, 0), (34, 2, 3)])
def test_read_samples_header_that_lies_raises_nothing(tmp_path: Path, field: tuple[int, int, int]):
    """Fields of a WAV header: channels, rate, rate, bytes of data, bytes of data, bits of a sample."""
    soundfile.write(tmp_path / "a.wav", tone(300, 0.5), RATE_HZ)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    at, size, value = field
    content[at : at + size] = value.to_bytes(size, "little")
    (tmp_path / "lie.wav").write_bytes(content)
    samples = read_samples(Audio(path="lie.wav"), tmp_path)
    assert isinstance(samples, AudioError) or (len(samples) <= RATE_HZ and bool(samples.isfinite().all()))


def test_read_samples_too_many_channels_are_too_large(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros((96_000, 800)), 48_000, subtype="PCM_U8")
    assert read_samples(Audio(path="a.wav"), tmp_path) == AudioError("too_large")


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
