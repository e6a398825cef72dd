"""The device that computes: whether the machine has it, its kind as a short name, and copies between it and the host that wait for
neither, so that a step of training on a GPU has no host synchronization.

A copy from pageable memory, and any read of a device value such as `float(x)`, waits until the device has done all that it was given."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from labelgen.base.errors import UsageError

_CPUINFO = Path("/proc/cpuinfo")
_KEYS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
"""Fields of /proc/cpuinfo that identify a kind of CPU, on x86 and ARM. Marketing names may differ for one kind."""


def processor(device: str = "cpu") -> str:
    """Kind of the processor. For a CPU: maker, model and torch's instruction set, such as `x86_64 AuthenticAMD 25 17 AVX512`; for a
    GPU: its name.

    Libraries choose their kernels, and so the order of sums, by these. The name does not identify a machine."""
    kind = torch.device(device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    if kind.type != "cpu":
        return kind.type
    fields = _first_cpu()
    names = [fields[key] for key in _KEYS if key in fields] or [platform.processor()]
    return " ".join((platform.machine(), *names, torch.backends.cpu.get_cpu_capability()))


def check_device(device: str) -> None:
    """Raises UsageError if torch does not know the device, or the machine does not have it."""
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


def _first_cpu() -> dict[str, str]:
    """Fields of /proc/cpuinfo for the first CPU; empty if there is no such file."""
    if not _CPUINFO.exists():
        return {}
    first, _, _ = _CPUINFO.read_text().partition("\n\n")
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, and restore the number of threads afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device. A copy to CUDA goes through pinned memory and runs after the kernels that were launched before."""
    device = torch.device(device)
    if tensor.device.type == "cpu" and device.type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type != "cpu")


class HostCopy:
    """Copy of a tensor in host memory that is made while the device goes on."""

    def __init__(self, tensor: Tensor) -> None:
        self._host = tensor.detach().to("cpu", non_blocking=True)
        self._done = None
        if tensor.device.type == "cuda":
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record(torch.cuda.current_stream(tensor.device))

    def read(self) -> Tensor:
        """The copy; waits for the kernels before it, not for those after it."""
        if self._done is not None:
            self._done.synchronize()
        return self._host
