"""Arrays that several processes see: the parameters, AdamW's moments, and a gradient for each process."""

import mmap
import os
import weakref

import numpy as np

LINE = 16  # float32 numbers in a cache line


class Shared:
    """params, first and second (P), grads (size, P): float32, in a file that is memory alone.

    file: the descriptor of one that another process has made; it is closed with the arrays.
    """

    def __init__(self, n, size, file=None):
        width = -(-n // LINE) * LINE
        length = 4 * width * (3 + size)
        if file is None:
            file = os.memfd_create("minigpt")  # gone with the last process that has it, however that ends
            os.ftruncate(file, length)
        self.file = file
        weakref.finalize(self, os.close, file)
        rows = np.frombuffer(mmap.mmap(file, length), np.float32).reshape(-1, width)[:, :n]
        self.params, self.first, self.second, *self.grads = rows

    def place(self, state):
        """A State that lies in these arrays; what lies elsewhere is copied."""
        params, grads = placed(state.params, self.params), placed(state.grads, self.grads[0])
        first, second = at(state.first, self.first), at(state.second, self.second)
        return state._replace(params=params, first=first, second=second, grads=grads)


def placed(flat, place):
    """The Flat itself if it lies in place, else a copy of it there."""
    return flat if flat.buffer is place else flat.like(at(flat.buffer, place))


def at(array, place):
    """place, with the array's numbers."""
    if array is not place:
        place[...] = array
    return place
