"""What the device's memory holds, now and at most: every array of the stand-in, views not counted again."""

import weakref

import numpy as np


class Meter:
    """Counts the bytes of arrays from their birth to their end; limit: what the device has."""

    def __init__(self):
        self.live, self.peak, self.limit = 0, 0, 80 * 2**30
        self._owners = set()  # ids of the memory that is counted
        self.hooks = []  # cupy.cuda.MemoryHooks at work

    def room_for(self, n):
        """Whether n more bytes fit."""
        return self.live + n <= self.limit

    def count(self, array, n=None):
        """An array has come to be: its memory counts as n bytes, by default as many as it has."""
        owner = array
        while getattr(owner, "base", None) is not None:
            owner = owner.base
        if id(owner) in self._owners or not isinstance(owner, np.ndarray):
            return
        n = owner.nbytes if n is None else n
        self._owners.add(id(owner))
        self.live += n
        self.peak = max(self.peak, self.live)
        for hook in self.hooks:
            hook.malloc_postprocess(device_id=0, size=n, mem_size=n, mem_ptr=id(owner), pmem_id=1)
        weakref.finalize(owner, self._ended, id(owner), n).atexit = False

    def _ended(self, key, n):
        self._owners.discard(key)
        self.live -= n
        for hook in self.hooks:
            hook.free_postprocess(device_id=0, mem_size=n, mem_ptr=key, pmem_id=1)

    def restart(self):
        """Forget the peak."""
        self.peak = self.live


METER = Meter()
