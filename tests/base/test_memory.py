"""Memory that was freed goes back, though something that is still held lies above it."""

import ctypes
from pathlib import Path

import pytest

from labelgen.base.memory import give_back

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_freed_memory_between_what_is_held_goes_back():
    # Blocks so small that glibc takes them from its heap; one in fifty stays.
    blocks = [bytearray(b"x" * 60_000) for _ in range(2000)]
    held = blocks[::50]
    full = resident_mb()
    del blocks
    give_back()
    assert full - resident_mb() > 80
    assert len(held) == 40
