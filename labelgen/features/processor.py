"""What is computed on: whether it is there, whether it has bf16, and its kind as a short name: the same bits may be expected
where names are equal."""

import platform
from collections.abc import Iterator

import torch

from labelgen.base.errors import UsageError
from labelgen.kernels.instruction_set import WITH_BF16, first_cpu, instruction_set

_KEYS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
"""What names a kind of CPU there, on x86 and on ARM. Marketing names are left out: they differ where kinds do not."""


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
    """Whether it computes products of bf16 itself, at the instruction set in force. A CPU that does not takes several times as long
    for them as for fp32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    on_arm = "bf16" in first_cpu().get("Features", "").split()
    return kind == "cpu" and (on_arm or instruction_set() in WITH_BF16)


def _cpu() -> Iterator[str]:
    """Maker, family and model of the first CPU; what Python knows where there is no such file."""
    told = first_cpu()
    if not told:
        yield platform.processor()
    yield from (told[key] for key in _KEYS if key in told)
