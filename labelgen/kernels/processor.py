"""The CPU instruction set that oneDNN, which computes torch's products, may use at most.

Some virtual machines announce AMX but cannot execute it ("Illegal instruction"). oneDNN fixes its level at its first call. Before
that, a forked process computes some products. If it dies or hangs, lower levels are tried, and the best that works is set as
ONEDNN_MAX_CPU_ISA, for this process and those that it starts. Such levels exist on x86; elsewhere, and where Linux does not tell the
CPU's flags, nothing is tried.

Also here: the kind of a processor as a short name, whether a device exists, and whether it has bf16."""

import faulthandler
import os
import platform
import resource
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch.nn import functional as F

from labelgen.base.errors import UsageError
from labelgen.base.process import MAX_CPU_ISA, PROBED_CPU_ISA
from labelgen.base.terminal import print_lines

_OLDER = "DNNL_MAX_CPU_ISA"
_CPUINFO = Path("/proc/cpuinfo")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LIMIT_S = 20.0
"""Products take hundredths of a second; what takes longer than this hangs."""

_NARROW = {
    "SSE41": {"sse4_1"},
    "AVX": {"avx"},
    "AVX2": {"avx2"},
    "AVX2_VNNI": {"avx_vnni"},
    "AVX2_VNNI_2": {"avx_vnni_int8", "avx_ne_convert"},
}
_WIDE = {
    "AVX512_CORE": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "AVX512_CORE_VNNI": {"avx512_vnni"},
    "AVX512_CORE_BF16": {"avx512_bf16"},
    "AVX512_CORE_FP16": {"avx512_fp16", "avx_vnni"},
    "AVX512_CORE_AMX": {"amx_tile", "amx_int8", "amx_bf16"},
    "AVX512_CORE_AMX_FP16": {"amx_fp16"},
}
"""oneDNN's levels, lowest first, by its own names, with the flags of /proc/cpuinfo that each needs beside those before it."""
_NAMES = (*_NARROW, *_WIDE)
WITH_BF16 = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16")
"""Levels with products of bf16."""
_ALIASES = {
    "AVX10_1_512": "AVX512_CORE_FP16",
    "AVX10_1_512_AMX": "AVX512_CORE_AMX",
    "AVX10_1_512_AMX_FP16": "AVX512_CORE_AMX_FP16",
}


def choose_instruction_set(products: Callable[[], None] | None = None, limit_s: float = _LIMIT_S) -> None:
    """Lower oneDNN's level if the CPU's highest level does not work, and say so once on stderr.

    Call it before torch computes anything. It keeps a level that the user set, and does nothing if this process or its parent has
    probed this machine. products: what the forked process computes; the default covers training and labeling."""
    machine, cap = _machine(), os.environ.get(MAX_CPU_ISA, "")
    probed_on, _, set_there = os.environ.get(PROBED_CPU_ISA, "").partition(" ")
    if probed_on == machine and set_there == cap:
        return
    if probed_on and set_there == cap:
        # The level was chosen on another machine and came along with the environment.
        os.environ.pop(MAX_CPU_ISA, None)
    elif _cap():
        return
    *lower, best = _cpu_levels() or [""]
    fault = _fault("", products or _products, limit_s) if best else None
    level = ""
    if fault is not None:
        works = (name for name in reversed(lower) if _fault(name, products or _products, limit_s) is None)
        level = next(works, "")
        _report(best, fault, level)
    if level:
        os.environ[MAX_CPU_ISA] = level
    os.environ[PROBED_CPU_ISA] = f"{machine} {level}"


def instruction_set() -> str | None:
    """The level in force, by oneDNN's name: the CPU's highest, or a lower one that is set. None where there are no such levels."""
    levels, cap = _cpu_levels(), _cap()
    within = [name for name in levels if cap is None or _NAMES.index(name) <= _NAMES.index(cap)]
    return within[-1] if within else None


def is_lowered() -> bool:
    """Whether labelgen set the level because higher ones do not work here."""
    level = os.environ.get(MAX_CPU_ISA, "")
    return bool(level) and os.environ.get(PROBED_CPU_ISA) == f"{_machine()} {level}"


def crash_of(work: Callable[[], object]) -> str | None:
    """What happens to a forked process that does some work, in words; None if it survives."""
    return _fault("", work, _LIMIT_S)


def first_cpu() -> dict[str, str]:
    """Fields of /proc/cpuinfo for the first CPU; empty if there is no such file."""
    if not _CPUINFO.exists():
        return {}
    first, _, _ = _CPUINFO.read_text().partition("\n\n")
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def _cpu_levels() -> list[str]:
    flags = set(first_cpu().get("flags", "").split())
    names = []
    for levels in (_NARROW, _WIDE):
        for name, needed in levels.items():
            if not needed <= flags:
                break
            names.append(name)
    return names


def _cap() -> str | None:
    """The level that is set; like oneDNN, this ignores names that it does not know."""
    named = (os.environ.get(MAX_CPU_ISA) or os.environ.get(_OLDER) or "").upper()
    named = _ALIASES.get(named, named)
    return named if named in _NAMES else None


def _machine() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else platform.node()


def _report(best: str, fault: str, level: str) -> None:
    if level:
        action = f"using {MAX_CPU_ISA}={level}; hint: set {MAX_CPU_ISA} yourself to choose another level"
    else:
        action = f"and no lower level works; hint: set {MAX_CPU_ISA}=AVX2 before torch computes anything"
    print_lines(f"labelgen: matrix products {fault} with this CPU's {best} instructions: {action}", file=sys.stderr)


def _fault(level: str, products: Callable[[], object], limit_s: float) -> str | None:
    """What happens to a forked process that computes at a level, in words; None if it survives. An exception counts as surviving:
    not every CPU has all products. The empty level is the default."""
    done, tell = os.pipe()
    try:
        with warnings.catch_warnings():
            # Python warns about forking beside other threads; the child needs none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except OSError:
        os.close(done)
        os.close(tell)
        return None
    if child == 0:
        _try(level, products, tell)
    os.close(tell)
    try:
        ended, _, _ = select.select([done], [], [], limit_s)
        works = bool(ended) and os.read(done, 1) == b"."
        if not ended:
            os.kill(child, signal.SIGKILL)
        status = 0
        with suppress(ChildProcessError):  # where the program has the system collect its children
            _, status = os.waitpid(child, 0)
    finally:
        os.close(done)
    if works:
        return None
    if not ended:
        return f"hang for {limit_s:.3g} s"
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return f"crash ({signal.strsignal(number)})" if number else "end the process"


def _try(level: str, products: Callable[[], object], tell: int) -> None:
    """Body of the forked process; does not return."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if level:
            os.environ[MAX_CPU_ISA] = level
        with suppress(Exception):
            products()
        os.write(tell, b".")
    finally:
        os._exit(0)


def _products() -> None:
    """Forward and backward products of training, and the operators of kernels/prepared.py, in both precisions."""
    torch.set_num_threads(1)
    for precision in (torch.float32, torch.bfloat16):
        for rows, width in ((8, 64), (128, 384)):
            inputs = torch.ones(rows, width, dtype=precision, requires_grad=True)
            weight = torch.ones(width, width, dtype=precision, requires_grad=True)
            bias = torch.ones(width, dtype=precision)
            mixed = F.linear(inputs, weight, bias)
            heads = mixed.view(1, rows, 4, -1).transpose(1, 2)
            attended = F.scaled_dot_product_attention(heads, heads, heads)[0]
            scores = torch.baddbmm(attended.new_zeros(1), attended, attended.transpose(1, 2), beta=0)
            convolved = F.conv1d(inputs.T[None], torch.ones(width, width, 3, dtype=precision), padding=1)
            torch.autograd.backward(torch.bmm(scores, attended).sum() + convolved.sum())
            with torch.no_grad(), suppress(RuntimeError):
                packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
                pointwise = torch.ops.mkldnn._linear_pointwise
                for after in ("none", "gelu"):
                    pointwise.default(inputs, packed, bias, after, [], "none" if after == "gelu" else "")
                pointwise.binary(inputs, mixed, packed, bias, "add")


_KEYS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
"""Fields of /proc/cpuinfo that identify a kind of CPU, on x86 and ARM. Marketing names may differ for one kind."""


def processor(device: str = "cpu") -> str:
    """Kind of the processor. For a CPU: maker, model and torch's instruction set, such as `x86_64 AuthenticAMD 25 17 AVX512`; for a
    GPU: its name.

    Libraries choose their kernels, and so the order of sums, by these, so equal kinds may give bitwise identical results. The
    name does not identify a machine."""
    kind = torch.device(device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    if kind.type != "cpu":
        return kind.type
    return " ".join((platform.machine(), *_cpu(), torch.backends.cpu.get_cpu_capability()))


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


def has_bf16(device: str) -> bool:
    """Whether the device has bf16 products at the current instruction set. Without them a CPU takes several times as long as for
    fp32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    on_arm = "bf16" in first_cpu().get("Features", "").split()
    return kind == "cpu" and (on_arm or instruction_set() in WITH_BF16)


def _cpu() -> Iterator[str]:
    """Maker, family and model of the first CPU; without /proc/cpuinfo, the name that Python reports."""
    fields = first_cpu()
    if not fields:
        yield platform.processor()
    yield from (fields[key] for key in _KEYS if key in fields)
