"""What of cupy.cuda and cupyx minigpt uses, without a GPU."""

from types import ModuleType, SimpleNamespace

import numpy as np

from tests.support.cuda import fake_cublas, fake_nccl
from tests.support.cuda.fake_streams import Event, Stream
from tests.support.device_memory import METER


class Device:
    """One of the GPUs that are shown; the current one by default."""

    shown, current = 1, 0

    def __init__(self, id=None):
        self.id = Device.current if id is None else id

    def use(self):
        if not 0 <= self.id < Device.shown:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        Device.current = self.id

    @property
    def pci_bus_id(self):
        return f"00000000:{FIRST_BUS + self.id:02X}:00.0"


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


FIRST_BUS = 1


def modules():
    """name -> module, as sys.modules is to hold them."""
    cuda, cupyx = ModuleType("cupy.cuda"), ModuleType("cupyx")
    cuda.cublas = fake_cublas
    cuda.device = SimpleNamespace(get_cublas_handle=lambda: 0)
    cuda.runtime = SimpleNamespace(
        getDeviceCount=lambda: Device.shown,
        CUDARuntimeError=CUDARuntimeError,
        getDeviceProperties=lambda device: {"name": b"no NVIDIA H100 at all"},
        memGetInfo=lambda: (METER.limit - METER.live, METER.limit),
    )
    cuda.memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    cuda.Device, cuda.Event, cuda.Stream, cuda.MemoryHook = Device, Event, Stream, MemoryHook
    cuda.get_elapsed_time = get_elapsed_time
    cuda.get_current_stream = Stream.current
    cupyx.empty_pinned = lambda shape, dtype=float, order="C": np.empty(shape, dtype, order)
    # as in CuPy, cupy.cuda.nccl must be imported by its name
    return {"cupy.cuda": cuda, "cupy.cuda.nccl": fake_nccl, "cupyx": cupyx}
