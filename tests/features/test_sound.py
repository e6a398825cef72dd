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
from labelgen.features.sound import MAX_S, RATE_HZ, AudioError, log_mel, read_samples


def tone(hertz: float, seconds: float, rate: int = RATE_HZ, loudness: float = 0.5) -> np.ndarray:
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE_HZ) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def heard(root: Path, name: str, **segment) -> torch.Tensor:
    samples = read_samples(Audio(path=name, **segment), root)
    assert isinstance(samples, torch.Tensor), samples
    return log_mel(samples)


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


def test_prepare_torchaudio_not_installed_or_not_linux_changes_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    prepare_torchaudio()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torchaudio, "find_spec", lambda name: None)
    prepare_torchaudio()
    assert EXTENSION not in sys.modules
