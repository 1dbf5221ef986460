"""Memory that a process has freed and is about to ask for again."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of mallopt, malloc.h
NEVER = 2**31 - 1


def keep_freed() -> bool:
    """Have glibc keep freed memory instead of handing it back to the kernel; returns whether it will.

    The buffers of a network's pass are freed after it and asked for again by the next one. Handed back and mapped anew,
    every page of them costs a fault: a sixth to a quarter of the time of a small network on a CPU. The process then
    holds on to its peak. For programs, which may decide this for a whole process; importing vauban changes nothing, and
    the process's own MALLOC_ variables have precedence.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and mallopt(TRIM_THRESHOLD, NEVER) == 1 and mallopt(MMAP_MAX, 0) == 1
