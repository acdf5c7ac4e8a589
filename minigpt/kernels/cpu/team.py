"""Threads that share one operation, and the cores there are for them."""

import os
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import ThreadpoolController

BLOCK_BYTES = 768 * 1024  # of each array in a chain of operations: two or three fit the second-level cache


def available_cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than the machine has, if the process is pinned
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Runs a job on slices of a range, one slice a thread; the calling thread takes the first."""

    def __init__(self, size):
        self.size = size
        self._pool = ThreadPoolExecutor(size - 1, "minigpt") if size > 1 else None
        self._blas = ThreadpoolController()

    def session(self):
        """A context with BLAS at one thread: its own threads would fight with these for the cores."""
        return self._blas.limit(limits=1, user_api="blas")

    def split(self, job, n, align=1):
        """job(slice) over [0, n), cut into one slice a thread; inner cuts are multiples of align."""
        cuts = sorted({min(n, -(-n * i // self.size // align) * align) for i in range(self.size)} | {n})
        self.share(job, [slice(a, b) for a, b in zip([0, *cuts], cuts, strict=False) if a < b])

    def share(self, job, parts):
        """job(part) for each part; at most one part a thread is in work at any time."""
        waiting = [self._pool.submit(job, part) for part in parts[1:]] if self._pool else []
        try:
            for part in parts[:1] if self._pool else parts:
                job(part)
        finally:
            for future in waiting:
                future.result()


def blocks(rows, width, itemsize=4):
    """Slices of a slice of rows, each of about BLOCK_BYTES when a row has `width` elements."""
    step = max(1, BLOCK_BYTES // (itemsize * width))
    return [slice(i, min(i + step, rows.stop)) for i in range(rows.start, rows.stop, step)]
