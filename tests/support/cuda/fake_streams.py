"""Streams and events of the stand-in for CuPy: kernels run when they are launched, other work when it must.

All kernels go to the null stream. What NCCL is given on another stream waits there until somebody waits for
it: the null stream by an event, or the host. Each stream knows how much of every other its next work comes
after (a vector clock), so that an order that only chance would keep is seen.
"""

import itertools
import time

import numpy as np

from tests.support.device_array import LAUNCHES, WAITS

RECORD = []  # what streams and NCCL were told, in order
SPOILED = 0xFF  # every byte of memory on its way: NaN in every number type


class OrderError(Exception):
    """Work that nothing keeps in order, or on a stream where it must not be."""


class UnderWay:
    """Memory that is given to NCCL, from the call to the wait."""

    def __init__(self):
        self.places = []  # (what for, address, bytes)

    def check(self, name, address, n):
        """Raise OrderError if a kernel, or another exchange, is to touch it."""
        for what, start, length in self.places:
            if start < address + n and address < start + length:
                raise OrderError(f"{name} touches memory of an {what} that nobody has waited for")


UNDER_WAY = UnderWay()
_handles = itertools.count(0x1000, 0x10)


class Stream:
    """Work in its order."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else next(_handles)
        self.non_blocking = non_blocking
        self.count, self.done = 0, 0  # pieces of work it was given, and that are carried out
        self.after = {}  # another stream's ptr -> of how many of its pieces ours comes after
        self.waiting = []  # (number of the piece, function): not carried out yet
        STREAMS[self.ptr] = self

    @staticmethod
    def current():
        return STREAMS[CURRENT[-1]]

    def __enter__(self):
        CURRENT.append(self.ptr)
        return self

    def __exit__(self, *_):
        CURRENT.pop()

    def use(self):
        CURRENT[-1] = self.ptr
        return self

    def put(self, function):
        """A piece of work, for later."""
        self.count += 1
        self.waiting.append((self.count, function))

    def carry_out(self, count):
        """Do what is waiting, up to so many pieces."""
        while self.waiting and self.waiting[0][0] <= count:
            number, function = self.waiting.pop(0)
            function()
            self.done = number

    def synchronize(self):
        WAITS.append("stream")
        self.carry_out(self.count)

    def wait_event(self, event):
        """What comes from now on comes after the event's last record; after none, CUDA does not wait."""
        RECORD.append(("wait", self.ptr, event.moment))
        for ptr, count in event.moment.items():
            self.after[ptr] = max(self.after.get(ptr, 0), count)
            if self.ptr == 0 and ptr:
                STREAMS[ptr].carry_out(count)


class Event:
    """A moment of a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.moment = {}  # ptr -> how many pieces of that stream's work are done then

    def record(self, stream=None):
        stream = Stream.current() if stream is None else stream
        self.time = time.perf_counter()
        self.moment = {**stream.after, stream.ptr: stream.count}
        RECORD.append(("record", stream.ptr, self.moment))

    @property
    def done(self):
        """Whether it is past: a kernel is as soon as it was launched."""
        return all(ptr == 0 or STREAMS[ptr].done >= count for ptr, count in self.moment.items())

    def synchronize(self):
        """Waiting for an event that was never recorded is no wait."""
        for ptr, count in self.moment.items():
            STREAMS[ptr].carry_out(count)


def launched(name):
    """A kernel was put on the current stream, and is done."""
    if CURRENT[-1]:
        raise OrderError(f"{name} was launched on the stream of the exchanges")
    STREAMS[0].count += 1


def forget():
    """Leave undone what is under way: whoever asked for it has failed."""
    CURRENT[:] = [0]
    UNDER_WAY.places.clear()
    for stream in STREAMS.values():
        stream.waiting.clear()


def spoil(memory):
    """Make bytes unusable until they are there; a copy of what they were."""
    before = memory.copy()
    memory[:] = np.uint8(SPOILED)
    return before


STREAMS, CURRENT = {}, [0]
Stream(null=True)
LAUNCHES.watchers.append(launched)
