"""Threads that share one operation."""

import os
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import pairwise

from minigpt.kernels.cpu.blas_threads import BLAS_THREADS

BLOCK_BYTES = 768 * 1024  # of each array in a chain of operations: caches hold it, smaller make more calls
WORTHWHILE = 128 * 1024  # elements; below, waking a thread (50-100 us) costs more than it saves
WORTHWHILE_PRODUCT = 16 * 1024 * 1024  # multiplications
FEW = 16  # rows; a product of so few takes as long as its weights take to be read
PIECE = 4096  # rows or columns, about: of a table of 50,257, BLAS would repack half at once, 30 MB a thread
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
    """Runs a job on parts of the work; the calling thread is one of the team."""

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
        """[job(block), ...] over n rows of `width` elements, in blocks of about BLOCK_BYTES."""
        size = self.worth(n * width)
        count = -(-4 * n * width // (BLOCK_BYTES * size)) * size  # a multiple of the threads
        return self.share(job, slices(n, min(n, count), ALIGN if width == 1 else 1), size)

    def worth(self, elements):
        """How many threads so many elements are worth: all or one."""
        return self.size if elements >= WORTHWHILE else 1

    def cuts(self, n, work):
        """n rows or columns of a product of `work` multiplications in slices, a multiple of the threads."""
        size = self.size if work >= WORTHWHILE_PRODUCT else 1
        return slices(n, -(-n // (PIECE * size)) * size, ALIGN)

    def parts(self, rows, columns, depth):
        """(rows, columns) indices of parts of what rows become through a weight, cut along the longer.

        A cut along the shorter side would leave BLAS strips too thin. A few rows stay together: BLAS shares
        their product among its own threads, see session.
        """
        if rows <= FEW:
            return [(slice(None), slice(None))]
        cuts = self.cuts(max(rows, columns), rows * columns * depth)
        return [(cut, slice(None)) if rows >= columns else (slice(None), cut) for cut in cuts]

    def share(self, job, parts, size=None):
        """[job(part), ...] in the caller's np.errstate: whoever is free takes the next part.

        So a thread on a core that others use too holds nobody up for longer than a part. size: threads, at
        most. A job must not share in its turn: all might wait for each other.
        """
        left, results = deque(range(len(parts))), [None] * len(parts)

        def work():
            while left:
                try:
                    i = left.popleft()
                except IndexError:  # another thread took the last
                    return
                try:
                    results[i] = job(parts[i])
                except BaseException:
                    left.clear()  # nobody needs the rest
                    raise

        helpers = min(size or self.size, len(parts)) - 1
        waiting = [self._pool.submit(copy_context().run, work) for _ in range(helpers)]
        try:
            work()
        finally:
            waiting = [future for future in waiting if not future.cancel()]  # who has not begun need not
            wait(waiting)  # all of them, whoever fails: none may write on into what is given up
            job = parts = None  # who was called off lies in the pool's queue for a while, with these arrays
        for future in waiting:
            future.result()
        return results


def slices(n, count, align=1):
    """n in `count` almost equal slices, which begin at multiples of `align`."""
    starts = [n * i // count // align * align for i in range(count)]
    return [slice(a, b) for a, b in pairwise([*starts, n])]


def blocks(rows, width):
    """Slices of a slice of rows, each of about BLOCK_BYTES when a row has `width` float32 elements."""
    return steps(rows, max(1, BLOCK_BYTES // (4 * width)))


def steps(rows, step):
    """Slices of a slice of rows, `step` rows each, the last with what is left."""
    return [slice(i, min(i + step, rows.stop)) for i in range(rows.start, rows.stop, step)]
