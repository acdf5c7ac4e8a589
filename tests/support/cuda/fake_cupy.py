"""What `import cupy` finds in tests without a GPU: what minigpt uses of CuPy 14.2, strict where CuPy is.

Arrays are tests/support/device_array.py's. New ones begin as NaN and lie between guards that no kernel may
touch. RawModule builds its source with g++ and runs it on the CPU; every launch is written down in LAUNCHES.
"""

import contextlib
import ctypes
import math
import weakref
from types import SimpleNamespace

import numpy as np

from tests.support.cuda.emulator import EmulationError, Library
from tests.support.cuda.fake_runtime import OutOfMemoryError
from tests.support.cuda.fake_streams import UNDER_WAY
from tests.support.device_array import FUNCTIONS, LAUNCHES, DeviceArray
from tests.support.device_memory import METER

ndarray = DeviceArray

SETTINGS = SimpleNamespace(mode="quick", seed=1)  # how kernels are built and in which order their threads run
COUNTS = SimpleNamespace(bank_conflicts=0)
MOST_SHARED = 227 * 1024  # bytes that a block may have on an H100

GUARD = 1024  # bytes on either side of an array
SPOILED = b"\xa5\xff"  # NaN as bfloat16 and as float32, negative as an integer
UNTOUCHED = np.frombuffer(SPOILED * 2 * GUARD, np.uint8)  # more than there is on either side
_guarded = {}  # id of the memory -> a weak reference to it, and where the array in it begins and ends
_types = {}  # id of the memory -> the number type that the array was made for


@contextlib.contextmanager
def settings(**changes):
    """Other SETTINGS for a while: mode "quick", "watched" or "sanitized"; any seed."""
    before = dict(vars(SETTINGS))
    vars(SETTINGS).update(changes)
    try:
        yield
    finally:
        vars(SETTINGS).update(before)


def empty(shape, dtype=float, order="C"):
    shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
    n = math.prod(shape) * dtype.itemsize
    if not METER.room_for(n):
        raise OutOfMemoryError(f"Out of memory allocating {n:,} bytes (so far: {METER.live:,} bytes).")
    memory = np.frombuffer(SPOILED * (GUARD + n // 2 + 257), np.uint8).copy()
    start = GUARD + -(memory.ctypes.data + GUARD) % 512  # as in CuPy, arrays begin at multiples of 512
    key = id(memory)
    _guarded[key] = weakref.ref(memory, lambda _: _guarded.pop(key)), start, start + n
    _types[key] = dtype
    if SETTINGS.mode == "sanitized":
        poison(memory[:start])
        poison(memory[start + n :])
    METER.count(memory, n)
    return DeviceArray(memory[start : start + n].view(dtype).reshape(shape))


FUNCTIONS["empty_like"] = lambda prototype, dtype=None, order="K", subok=None, shape=None: (
    empty(shape or prototype.shape, dtype or prototype.dtype)._host
)
FUNCTIONS["empty"] = lambda shape, dtype=float, order="C": empty(shape, dtype)._host  # numpy.empty(like=...)


def owner_of(address):
    """(memory, address of its first byte, bytes, number type) of what an address is in, or None."""
    for key, (reference, start, stop) in list(_guarded.items()):
        memory = reference()
        if memory is not None and memory.ctypes.data + start <= address < memory.ctypes.data + stop:
            return memory, memory.ctypes.data + start, stop - start, _types[key]
    return None


def poison(memory):
    """Tell the address sanitizer, which this process must have been started with, to allow no access."""
    where = ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(memory.nbytes)
    getattr(ctypes.CDLL(None), "__asan_poison_memory_region")(*where)


def check_guards(array):
    """An EmulationError if the bytes around the array's memory have changed."""
    memory = array if array.base is None else array.base
    if id(memory) not in _guarded or SETTINGS.mode == "sanitized":
        return
    _, start, stop = _guarded[id(memory)]
    for edge in (slice(0, start), slice(stop, memory.size)):
        found, phase = memory[edge], (edge.start or 0) % len(SPOILED)
        if (found != UNTOUCHED[phase : phase + found.size]).any():
            raise EmulationError(f"bytes around an array of shape {array.shape} were written")


def base_of(array):
    """The array that a view is of, None for one that is no view; guards belong to neither."""
    memory = array._host.base
    if memory is None or id(memory) not in _guarded:
        return None
    _, start, stop = _guarded[id(memory)]
    return DeviceArray(memory[start:stop])


DeviceArray.base = property(base_of)


def empty_like(a, dtype=None):
    return empty(a.shape, dtype or a.dtype)


def as_strided(x, shape=None, strides=None):
    """A view of any shape and strides; CuPy does not check where it ends, the guards here do."""
    return DeviceArray(np.lib.stride_tricks.as_strided(x._host, shape, strides))


lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))


def zeros(shape, dtype=float, order="C"):
    array = empty(shape, dtype)
    array.fill(0)
    return array


def asarray(a, dtype=None):
    """A copy on the device; device arrays stay where they are."""
    if isinstance(a, DeviceArray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    host = np.asarray(a, dtype)
    array = empty(host.shape, host.dtype)
    array._host[...] = host
    return array


def asnumpy(a):
    return a.get()


def argsort(a, axis=-1, kind=None):
    LAUNCHES.append("argsort")
    return DeviceArray(np.argsort(a._host, axis=axis, kind="stable"))


def get_default_memory_pool():
    """What arrays hold; blocks that were given back are given back to the device at once."""
    return SimpleNamespace(
        used_bytes=lambda: METER.live, total_bytes=lambda: METER.live, free_all_blocks=lambda: None
    )


class RawModule:
    """CUDA C source; built when a kernel of it is launched, once for each mode."""

    def __init__(self, *, code, options=(), backend="nvrtc", name_expressions=None, jitify=False):
        self._code, self._options, self._libraries = code, options, {}

    def get_function(self, name):
        return RawKernel(self, name)

    def library(self, mode):
        if mode not in self._libraries:
            self._libraries[mode] = Library(self._code, self._options, mode)
        return self._libraries[mode]


class RawKernel:
    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, module, name):
        self._module, self.name = module, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        if not shared_mem <= self.max_dynamic_shared_size_bytes <= MOST_SHARED:
            raise EmulationError(f"{self.name}: {shared_mem} bytes of shared memory are too many")
        LAUNCHES.append(self.name)
        opened = [opened_argument(argument) for argument in args]
        for argument in opened:
            if isinstance(argument, np.ndarray):
                UNDER_WAY.check(self.name, argument.ctypes.data, argument.nbytes)
        library = self._module.library(SETTINGS.mode)
        launched = library.launch(self.name, grid, block, shared_mem, opened, SETTINGS.seed)
        COUNTS.bank_conflicts += launched.bank_conflicts
        for argument in opened:
            if isinstance(argument, np.ndarray):
                check_guards(argument)


def opened_argument(argument):
    """A kernel's argument as the emulator takes it: arrays and NumPy's scalars, by their type."""
    if isinstance(argument, DeviceArray):
        return argument._host
    if isinstance(argument, np.generic):
        return argument
    raise TypeError(f"Unsupported type {type(argument)}")
