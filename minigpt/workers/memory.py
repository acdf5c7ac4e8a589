"""Arrays that several processes see: the parameters, AdamW's moments, and a gradient for each process."""

import mmap
import os
import weakref

import numpy as np

LINE = 16  # float32 numbers in a cache line


class Shared:
    """params, first and second (P), and size times grads (P): float32, in a file that is memory alone.

    file: the descriptor of one that another process has made; it is closed with the arrays. Raises OSError.
    """

    def __init__(self, n, size, file=None):
        width = -(-n // LINE) * LINE
        length = 4 * width * (3 + size)
        made = file is None
        self.file = os.memfd_create("minigpt") if made else file  # gone with the last process that has it
        weakref.finalize(self, os.close, self.file)
        if made:
            os.ftruncate(self.file, length)
        rows = np.frombuffer(mmap.mmap(self.file, length), np.float32).reshape(-1, width)[:, :n]
        self.params, self.first, self.second, *self.grads = rows

    def place(self, state):
        """A State that lies in these arrays; what lies elsewhere is copied, first all of it, then here.

        state with buffers (P) -> state with buffers (P)
        """
        given = state.params.buffer, state.first, state.second, state.grads.buffer
        places = self.params, self.first, self.second, self.grads[0]
        if all(array is place for array, place in zip(given, places, strict=True)):
            return state
        for place, array in zip(places, [array.copy() for array in given], strict=True):
            place[...] = array
        params, grads = state.params.like(self.params), state.grads.like(self.grads[0])
        return state._replace(params=params, first=self.first, second=self.second, grads=grads)


def private(state):
    """A copy of a State that no other process sees.

    state with buffers (P) -> state with buffers (P)
    """
    params, grads = (flat.like(flat.buffer.copy()) for flat in (state.params, state.grads))
    return state._replace(params=params, first=state.first.copy(), second=state.second.copy(), grads=grads)
