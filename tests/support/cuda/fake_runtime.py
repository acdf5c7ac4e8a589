"""What of cupy.cuda and cupyx minigpt uses, without a GPU: one device, one stream, all done at once."""

import time
from types import ModuleType, SimpleNamespace

import numpy as np

from tests.support.cuda import fake_cublas, fake_nccl
from tests.support.device_array import WAITS
from tests.support.device_memory import METER


class Stream:
    """The stream that every launch goes to."""

    ptr = 0

    def synchronize(self):
        WAITS.append("stream")


class Event:
    """A moment of the stream, which has passed as soon as it is recorded."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.recorded = False

    def record(self, stream=None):
        self.recorded, self.time = True, time.perf_counter()

    def synchronize(self):
        """Waiting for an event that was never recorded is no wait, nor is it for one that has passed."""


class Device:
    """GPU 0."""

    def __init__(self, id=0):
        self.id = id

    def use(self):
        if self.id:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")


class MemoryHook:
    """Told of arrays' memory, as it comes and goes."""

    def __enter__(self):
        METER.hooks.append(self)
        return self

    def __exit__(self, *_):
        METER.hooks.remove(self)

    def malloc_postprocess(self, device_id, size, mem_size, mem_ptr, pmem_id):
        """Bytes that were asked for, and where they are."""

    def free_postprocess(self, device_id, mem_size, mem_ptr, pmem_id):
        """The same, given back."""


def get_elapsed_time(start, end):
    """Milliseconds between two events."""
    return (end.time - start.time) * 1e3


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime refuses."""


class OutOfMemoryError(MemoryError):
    """The device's memory does not suffice."""


STREAM = Stream()


def modules():
    """name -> module, as sys.modules is to hold them."""
    cuda, cupyx = ModuleType("cupy.cuda"), ModuleType("cupyx")
    cuda.cublas = fake_cublas
    cuda.device = SimpleNamespace(get_cublas_handle=lambda: 0)
    cuda.runtime = SimpleNamespace(
        getDeviceCount=lambda: 1,
        CUDARuntimeError=CUDARuntimeError,
        getDeviceProperties=lambda device: {"name": b"no NVIDIA H100 at all"},
        memGetInfo=lambda: (METER.limit - METER.live, METER.limit),
    )
    cuda.memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    cuda.Device, cuda.Event, cuda.Stream, cuda.MemoryHook = Device, Event, Stream, MemoryHook
    cuda.get_elapsed_time, cuda.nccl = get_elapsed_time, fake_nccl
    cuda.get_current_stream = lambda: STREAM
    cupyx.empty_pinned = lambda shape, dtype=float, order="C": np.empty(shape, dtype, order)
    return {"cupy.cuda": cuda, "cupy.cuda.nccl": fake_nccl, "cupyx": cupyx}
