"""`hardware.precision: auto` is bf16 only where it is measured to be faster; nothing is measured here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from announced_amx import announce_amx, crashes_above

from labelgen.kernels import processor
from labelgen.model.folder import read_card
from labelgen.model.options import ModelOptions
from labelgen.training import hardware
from labelgen.training.hardware import auto_precision, bf16_speedup
from labelgen.training.options import FinetuneOptions, HardwareOptions
from labelgen.training.run import finetune


def test_training_sets_instruction_set_first(
    options: Callable[..., FinetuneOptions], tmp_path: Path, monkeypatch, capfd
):
    announce_amx(tmp_path, monkeypatch)
    monkeypatch.setattr(processor, "_products", crashes_above("AVX2"))
    asked = options("a", "--length.max_steps=1")
    finetune(asked)
    assert read_card(Path(asked.out) / "model")["isa"] == "AVX2"
    assert capfd.readouterr().err.count("using ONEDNN_MAX_CPU_ISA=AVX2") == 1


@pytest.mark.parametrize(
    ("accelerator", "with_bf16", "cuda", "speedup", "found"),
    [
        ("auto", {"cpu"}, False, 1.1, "bf16"),
        ("auto", {"cpu"}, False, 1.09, "32"),
        ("auto", {"cpu"}, True, 9.0, "32"),
        ("auto", {"cuda"}, True, 0.0, "bf16"),
        ("auto", set(), False, 9.0, "32"),
        ("cpu", {"cpu"}, True, 9.0, "bf16"),
        ("cpu", {"cpu"}, False, 0.7, "32"),
        ("cpu", {"cuda"}, True, 9.0, "32"),
        ("gpu", {"cuda"}, True, 0.0, "bf16"),
        ("gpu", {"cpu"}, False, 9.0, "32"),
        ("mps", {"cpu"}, False, 9.0, "32"),
    ],
)
def test_auto_precision_fast_bf16_is_bf16(
    monkeypatch, tiny_encoder: Path, accelerator, with_bf16, cuda, speedup, found
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(hardware, "has_bf16", lambda device: device in with_bf16)
    monkeypatch.setattr(hardware, "cached_speedup", lambda *_, **__: speedup)
    asked = HardwareOptions(accelerator=accelerator, precision="auto")
    assert auto_precision(asked, ModelOptions(encoder=str(tiny_encoder))) == found


@pytest.mark.parametrize(
    ("name", "count"), [("WORLD_SIZE", "2"), ("SLURM_NTASKS", "4"), ("WORLD_SIZE", "1"), ("WORLD_SIZE", "")]
)
def test_auto_precision_several_launchers_is_32(monkeypatch, tiny_encoder: Path, name, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "has_bf16", lambda _: True)
    monkeypatch.setattr(hardware, "cached_speedup", lambda *_, **__: 9.0)
    model = ModelOptions(encoder=str(tiny_encoder))
    monkeypatch.setenv(name, count)
    alone = count in ("", "1")
    assert auto_precision(HardwareOptions(accelerator="cpu", precision="auto"), model) == ("bf16" if alone else "32")
    assert auto_precision(HardwareOptions(accelerator="cpu", precision="auto", nodes=2), model) == "32"


@pytest.mark.parametrize("trained", [True, False])
def test_speedup_uses_medians_without_warmup(trained: bool):
    # In milliseconds: fp32 and bf16 in turn, the first time of each with what is done only once.
    spent = iter([900, 800, 30, 10, 31, 11, 29, 9, 300, 100, 30, 10])
    times = (now for took in spent for now in (0.0, took / 1000))
    assert bf16_speedup(32, 64, trained, lambda: next(times)) == pytest.approx(3.0)


def test_speedup_slow_machine_measures_once():
    times = (now for took in (3.0, 3.0, 2.0, 4.0) for now in (0.0, took))
    assert bf16_speedup(32, 64, True, lambda: next(times)) == pytest.approx(0.5)


@pytest.fixture
def measured(monkeypatch, tmp_path: Path) -> list[tuple[int, int, bool]]:
    """What was measured, in place of measuring it: 2.5 each time."""
    asked: list[tuple[int, int, bool]] = []

    def measure(*shapes: Any) -> float:
        asked.append(shapes)
        return 2.5

    monkeypatch.undo()  # the cache itself is tested here
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hardware, "bf16_speedup", measure)
    return asked


def test_speedup_cache_key_is_complete(monkeypatch, measured):
    for _ in range(2):
        assert hardware.cached_speedup(32, 64, True) == 2.5
    assert len(measured) == 1
    hardware.cached_speedup(32, 128, True)
    hardware.cached_speedup(32, 64, False)
    for name, value in (("instruction_set", "another level"), ("processor", "another CPU")):
        monkeypatch.setattr(hardware, name, lambda value=value: value)
        hardware.cached_speedup(32, 64, True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    hardware.cached_speedup(32, 64, True)
    monkeypatch.setattr(torch, "__version__", "99")
    hardware.cached_speedup(32, 64, True)
    assert len(measured) == 7


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1, "speedup": 9}', '{"speedup": "x"}', "\0"])
def test_speedup_damaged_cache_is_ignored(measured, tmp_path: Path, text: str):
    hardware.cached_speedup(32, 64, True)
    [kept] = (tmp_path / "cache" / "labelgen").iterdir()
    whole = kept.read_text()
    for broken in (text, whole.replace("2.5", "-1"), whole.replace("2.5", "NaN"), whole.replace("2.5", "null")):
        kept.write_text(broken)
        assert hardware.cached_speedup(32, 64, True) == 2.5
        assert kept.read_text() == whole
    assert len(measured) == 5


def test_speedup_unwritable_cache_is_ignored(measured, monkeypatch, tmp_path: Path):
    (tmp_path / "cache").write_text("a file")
    assert hardware.cached_speedup(32, 64, True) == 2.5
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert hardware.cached_speedup(32, 64, True) == 2.5
