"""release_memory returns free pages between used blocks."""

import ctypes
from pathlib import Path

import pytest

from labelgen.base.process import release_memory

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_release_memory_with_used_blocks_between_returns_the_free_pages():
    # Blocks so small that glibc takes them from its heap; one in fifty stays.
    blocks = [bytearray(b"x" * 60_000) for _ in range(2000)]
    kept = blocks[::50]
    full = resident_mb()
    del blocks
    release_memory()
    assert full - resident_mb() > 80
    assert len(kept) == 40
