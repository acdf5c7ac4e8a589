"""Threads that share one operation, and the cores there are for them."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from threadpoolctl import ThreadpoolController

BLOCK_BYTES = 768 * 1024  # of each array in a chain of operations: two or three fit the second-level cache
WORTHWHILE = 128 * 1024  # elements; below, waking a thread (50-100 us) costs more than it saves
WORTHWHILE_PRODUCT = 16 * 1024 * 1024  # multiplications
ALIGN = 16  # cuts of a matrix lie on whole cache lines


def available_cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than the machine has, if the process is pinned
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Runs a job on slices of a range, one slice a thread; the calling thread takes the first."""

    def __init__(self, size):
        self.size = size
        self._pool = ThreadPoolExecutor(max(1, size - 1), "minigpt")  # starts threads when they are needed
        self._blas = ThreadpoolController()

    def session(self):
        """A context with BLAS at one thread: its own threads would fight with these for the cores."""
        return self._blas.limit(limits=1, user_api="blas")

    def split(self, job, n, width):
        """job(slice) over n rows of `width` elements, one slice a thread; few elements stay with one."""
        size = self.size if n * width >= WORTHWHILE else 1
        self.share(job, [slice(n * i // size, n * (i + 1) // size) for i in range(size)])

    def parts(self, rows, columns, depth):
        """One (rows, columns) index a thread of a product over `depth`, cut along its longer side.

        A cut along the shorter side would leave BLAS strips too thin. A small product stays with one thread.
        """
        if rows * columns * depth < WORTHWHILE_PRODUCT:
            return [(slice(None), slice(None))]
        cuts = [max(rows, columns) * i // self.size // ALIGN * ALIGN for i in range(self.size)]
        slices = [slice(a, b) for a, b in pairwise([*cuts, max(rows, columns)])]
        return [(cut, slice(None)) if rows >= columns else (slice(None), cut) for cut in slices]

    def share(self, job, parts):
        """job(part) for each part, one part a thread at most."""
        waiting = [self._pool.submit(job, part) for part in parts[1:]]
        try:
            job(parts[0])
        finally:
            for future in waiting:
                future.result()


def blocks(rows, width, itemsize=4):
    """Slices of a slice of rows, each of about BLOCK_BYTES when a row has `width` elements."""
    step = max(1, BLOCK_BYTES // (itemsize * width))
    return [slice(i, min(i + step, rows.stop)) for i in range(rows.start, rows.stop, step)]
