"""Freed memory stays with the process: a fresh page costs more than the arithmetic done in it."""

import ctypes
import sys

# glibc, malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory():
    """Tell glibc to serve large blocks from its heap and to give nothing back. Elsewhere: do nothing.

    A training step frees and allocates the same arrays again and again; by default each large one is a
    new mapping, whose pages the kernel must zero and map (measured: a sixth of a GPT-2 124M step).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_ARENA_MAX, 1)


def give_freed_memory_back():
    """Return to the system what has been freed until now, once; what is freed later stays."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
