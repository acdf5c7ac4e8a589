"""Threads that share one operation."""

import os
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import pairwise

from minigpt.kernels.cpu.blas_threads import BLAS_THREADS

BLOCK_BYTES = 768 * 1024  # of each array in a chain of operations: two or three fit the second-level cache
WORTHWHILE = 128 * 1024  # elements; below, waking a thread (50-100 us) costs more than it saves
WORTHWHILE_PRODUCT = 16 * 1024 * 1024  # multiplications
FEW = 16  # rows; a product of so few takes as long as its weights take to be read
ALIGN = 16  # cuts of a matrix lie on whole cache lines

TEAMS: weakref.WeakSet["Team"] = weakref.WeakSet()


def start_again():
    """Give every team new threads: a forked child has none of its parent's, and would wait for them."""
    BLAS_THREADS.start_again()
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

    def session(self, rows=None):
        """A context with BLAS at one thread: its own would fight with these for the cores.

        A product of a few rows reads its weights once, and these threads have nothing else to do: then BLAS
        shares it out among its own, which wait awake, and nobody is woken.
        """
        return BLAS_THREADS.at(self.size if rows and rows <= FEW else 1)

    def split(self, job, n, width):
        """[job(slice), ...] over n rows of `width` elements, a slice a thread; few elements stay with one."""
        return self.share(job, self.slices(n, self.worth(n * width)))

    def worth(self, elements):
        """How many threads so many elements are worth: all or one."""
        return self.size if elements >= WORTHWHILE else 1

    def slices(self, n, count):
        """n in `count` almost equal slices."""
        return [slice(n * i // count, n * (i + 1) // count) for i in range(count)]

    def parts(self, rows, columns, work):
        """A (rows, columns) index a thread for a product of `work` multiplications, cut where it is longer.

        A cut along the shorter side would leave BLAS strips too thin. A small product stays with one thread.
        """
        cuts = self.cuts(max(rows, columns), work)
        return [(cut, slice(None)) if rows >= columns else (slice(None), cut) for cut in cuts]

    def cuts(self, n, work):
        """n in a slice a thread, for a product of `work` multiplications, on whole cache lines."""
        count = self.size if work >= WORTHWHILE_PRODUCT else 1
        starts = [n * i // count // ALIGN * ALIGN for i in range(count)]
        return [slice(a, b) for a, b in pairwise([*starts, n])]

    def row_parts(self, rows, columns, depth):
        """The same for rows that go through a weight. A few stay together: BLAS shares them, see session."""
        return self.parts(rows, columns, work=rows * columns * depth if rows > FEW else 0)

    def share(self, job, parts):
        """[job(part), ...] for each part, one part a thread at most, in the caller's np.errstate."""
        if len(parts) == 1:
            return [job(parts[0])]
        waiting = [self._pool.submit(copy_context().run, job, part) for part in parts[1:]]
        try:
            first = job(parts[0])
        finally:
            wait(waiting)  # all of them, whoever fails: none may write on into what is given up
        return [first, *(future.result() for future in waiting)]


def blocks(rows, width):
    """Slices of a slice of rows, each of about BLOCK_BYTES when a row has `width` float32 elements."""
    step = max(1, BLOCK_BYTES // (4 * width))
    return [slice(i, min(i + step, rows.stop)) for i in range(rows.start, rows.stop, step)]
