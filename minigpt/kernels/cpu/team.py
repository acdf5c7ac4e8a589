"""Threads that share one operation, and the cores there are for them."""

import os
import threading
import weakref
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


class SingleBlas:
    """BLAS at one thread while anybody is inside, in any thread; the last to leave restores what was."""

    def __init__(self):
        self._lock, self._inside, self._blas = threading.Lock(), 0, None

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._blas = self._blas or ThreadpoolController()
                self._limit = self._blas.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *exception):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


SINGLE_BLAS = SingleBlas()
TEAMS = weakref.WeakSet()


def start_again():
    """Give every team new threads: a forked child has none of its parent's, and would wait for them."""
    for team in TEAMS:
        team.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_again)


class Team:
    """Runs a job on slices of a range, one slice a thread; the calling thread takes the first."""

    def __init__(self, size):
        self.size = size
        self.start()
        TEAMS.add(self)

    def start(self):
        """A new pool, which starts its threads when they are needed."""
        self._pool = ThreadPoolExecutor(max(1, self.size - 1), "minigpt")

    def session(self):
        """A context with BLAS at one thread: its own threads would fight with these for the cores."""
        return SINGLE_BLAS

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


def blocks(rows, width):
    """Slices of a slice of rows, each of about BLOCK_BYTES when a row has `width` float32 elements."""
    step = max(1, BLOCK_BYTES // (4 * width))
    return [slice(i, min(i + step, rows.stop)) for i in range(rows.start, rows.stop, step)]
