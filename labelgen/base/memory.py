"""Memory that was freed goes back to the system."""

import ctypes


def give_back() -> None:
    """Hand freed pages back; does nothing where the C library is not glibc.

    glibc keeps what lies between things that are still held, and large blocks of other sizes do not fit there: a process that
    works for hours grows although it holds no more than at first."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
