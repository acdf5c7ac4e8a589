"""Batches on their way to the GPU: copied from page-locked memory, so that nobody waits for the copy.

The copy is put in line behind the kernels that are still at work, and the program goes on at once. Two places
take turns: one may be filled while the other's copy is under way. A batch of 64 x 1,024 takes the GPU some 10
microseconds, which a stream of its own would hide, and for which every array would have to be kept from being
used again too early.
"""

import cupy
import cupyx
import numpy as np

PLACES = 2


class Upload:
    """upload((tokens, targets)) -> the same as int32 arrays on the GPU."""

    def __init__(self):
        self._places, self._next = [None] * PLACES, 0

    def __call__(self, batch):
        """Checked integers (B, T) on the GPU; what is launched from now on sees them there."""
        tokens, targets = batch
        if isinstance(tokens, cupy.ndarray):
            return tokens.astype(np.int32, copy=False), targets.astype(np.int32, copy=False)
        place = self._free_place(tokens.shape)
        place.host[0], place.host[1] = tokens, targets
        pair = cupy.empty(place.host.shape, np.int32)
        stream = cupy.cuda.get_current_stream()
        pair.set(place.host, stream=stream)
        place.copied.record(stream)
        return pair[0], pair[1]

    def _free_place(self, shape):
        """The place that has waited longest, once its last copy is done."""
        i, self._next = self._next, (self._next + 1) % PLACES
        if self._places[i]:
            self._places[i].copied.synchronize()
        if self._places[i] is None or self._places[i].host.shape[1:] != shape:
            self._places[i] = Place(shape)
        return self._places[i]


class Place:
    """Page-locked memory for one batch, and the moment when its last copy was done."""

    def __init__(self, shape):
        self.host = cupyx.empty_pinned((2, *shape), np.int32)
        self.copied = cupy.cuda.Event(disable_timing=True)
