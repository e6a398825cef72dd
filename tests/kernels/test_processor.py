"""The name of a kind of processor: the same for two machines of one kind, and nothing of the machine in it."""

import platform

import pytest
import torch

from labelgen.base.errors import UsageError
from labelgen.kernels import processor as module
from labelgen.kernels.processor import check_device, has_bf16, processor

X86 = "processor\t: {n}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: {model}\nmodel name\t: Xeon {n}\nmicrocode\t: 0x{n}\n"
ARM = "processor\t: 0\nBogoMIPS\t: {n}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n\nSerial\t: 00{n}\n"
AVX512 = "sse4_1 avx avx2 avx512f avx512bw avx512dq avx512vl avx512_vnni"


def named(tmp_path, monkeypatch, text: str) -> str:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    return processor()


def test_processor_same_kind_has_same_name(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    names = [
        named(tmp_path, monkeypatch, "\n".join(X86.format(n=n, model=m) for n in range(n)))
        for n, m in ((1, 143), (2, 143), (1, 85))
    ]
    assert names == ["x86_64 GenuineIntel 6 143 AVX512"] * 2 + ["x86_64 GenuineIntel 6 85 AVX512"]
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert named(tmp_path, monkeypatch, X86.format(n=0, model=143)) == "x86_64 GenuineIntel 6 143 AVX2"


def test_processor_arm_is_named_by_part_without_serial_number(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert {named(tmp_path, monkeypatch, ARM.format(n=n)) for n in (1, 2)} == {"aarch64 0x41 8 0xd40 DEFAULT"}


def test_processor_without_cpuinfo_uses_platform(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert processor().split()[:2] == [platform.machine(), "arm"]


def test_processor_other_devices_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda kind: "NVIDIA H100")
    assert [processor(name) for name in ("cuda", "cuda:1", "mps")] == ["NVIDIA H100", "NVIDIA H100", "mps"]


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("gpu", "did you mean cuda"),
        ("GPU:0", "did you mean cuda"),
        ("cpuu", "give cpu, cuda or cuda:N"),
        ("", "give cpu, cuda or cuda:N"),
        ("cuda:99", "use --device cpu"),
    ],
)
def test_check_device_unknown_device_raises(device, said):
    check_device("cpu")
    with pytest.raises(UsageError) as told:
        check_device(device)
    assert said in str(told.value)
    assert f"--device {device}" in told.value.where


def test_check_device_without_cuda_raises(monkeypatch):
    def none(*_: object, **__: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "empty", none)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="no CUDA device here"):
        check_device("cuda")


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (f"flags\t\t: {AVX512} avx512_bf16\n", True),
        (f"flags\t\t: {AVX512} avx512_bf16 avx_vnni avx512_fp16 amx_tile amx_int8 amx_bf16\n", True),
        (f"flags\t\t: {AVX512}\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("Features\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_has_bf16_cpu_follows_cpuinfo(tmp_path, monkeypatch, told, found):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{told}\nprocessor\t: 1\nflags\t\t: avx512_bf16\n")
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    assert has_bf16("cpu") is found
    assert not has_bf16("mps")
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "none")
    assert not has_bf16("cpu")
