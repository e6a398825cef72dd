"""What is computed on: whether it is there, whether it has bf16, and its kind as a short name: the same bits may be expected
where names are equal."""

import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from labelgen.base.errors import UsageError

_CPUINFO = Path("/proc/cpuinfo")
_KEYS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
"""What names a kind of CPU there, on x86 and on ARM. Marketing names are left out: they differ where kinds do not."""
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""As x86 and ARM name it there."""


def processor(device: str = "cpu") -> str:
    """Of a CPU its maker and model, and the instruction set that torch uses, such as `x86_64 AuthenticAMD 25 17 AVX512`:
    libraries choose their kernels, and so the order of sums, by these. Of a GPU its name. Nothing in it names a machine."""
    kind = torch.device(device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    if kind.type != "cpu":
        return kind.type
    return " ".join((platform.machine(), *_cpu(), torch.backends.cpu.get_cpu_capability()))


def check_device(device: str) -> None:
    """Raises UsageError where torch cannot compute on `device` here: it has no such name, or there is none."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        where = f"--device {device}"
        if device.partition(":")[0] != "cuda":
            meant = "did you mean cuda? " if "gpu" in device.lower() else ""
            raise UsageError(f"{device!r} is no device here", where, f"{meant}give cpu, cuda or cuda:N") from error
        count = torch.cuda.device_count()
        what = f"no {device} here: {error}; CUDA devices: {count}" if count else "no CUDA device here"
        raise UsageError(what, where, "use --device cpu") from error


def has_bf16(device: str) -> bool:
    """Whether it computes products of bf16 itself. A CPU that does not takes several times as long for them as for fp32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told = _first_cpu()
    return kind == "cpu" and not _BF16.isdisjoint((told.get("flags") or told.get("Features") or "").split())


def _cpu() -> Iterator[str]:
    """Maker, family and model of the first CPU; what Python knows where there is no such file."""
    told = _first_cpu()
    if not told:
        yield platform.processor()
    yield from (told[key] for key in _KEYS if key in told)


def _first_cpu() -> dict[str, str]:
    """What the system tells of the first CPU; nothing where it has no such file."""
    if not _CPUINFO.exists():
        return {}
    first, _, _ = _CPUINFO.read_text().partition("\n\n")
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
