"""A CPU that announces AMX, whatever CPU the tests run on, and products that crash on it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from labelgen.kernels import processor

MAX, PROBED = "ONEDNN_MAX_CPU_ISA", "LABELGEN_PROBED_CPU_ISA"
LEVELS = ["SSE41", "AVX", "AVX2", "AVX2_VNNI"]
LEVELS += [f"AVX512_CORE{more}" for more in ("", "_VNNI", "_BF16", "_FP16", "_AMX")]
FLAGS = "sse4_1 avx avx2 avx_vnni avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16"


def announce_amx(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing was probed yet. Gives the file that identifies the machine."""
    (folder / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {FLAGS}\n")
    (folder / "boot").write_text("here\n")
    monkeypatch.setattr(processor, "_CPUINFO", folder / "cpuinfo")
    monkeypatch.setattr(processor, "_BOOT", folder / "boot")
    for name in (MAX, "DNNL_MAX_CPU_ISA", PROBED):
        monkeypatch.setenv(name, "")  # so that what the test sets is undone
        monkeypatch.delenv(name)
    return folder / "boot"


def crash() -> None:
    os.kill(os.getpid(), signal.SIGILL)


def crashes_above(level: str, how: Callable[[], object] = crash) -> Callable[[], None]:
    """Products that crash at every level above this one."""

    def products() -> None:
        if LEVELS.index(os.environ.get(MAX) or LEVELS[-1]) > LEVELS.index(level):
            how()

    return products
