"""Named arrays in one buffer, the names of the number types, and the way between this machine and a GPU.

NumPy's functions work on CuPy's arrays and give CuPy's arrays back, so nobody but this file and kernels/cuda
needs CuPy's own.
"""

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from minigpt.errors import ConfigError

DTYPES = {"float32": np.float32, "float64": np.float64}
DEVICES = ("numpy", "cupy")


def device_of(array):
    """The device on which an array is: "numpy", this machine's memory, or "cupy", a GPU's."""
    return "cupy" if type(array).__module__.partition(".")[0] == "cupy" else "numpy"


def on_device(array, device):
    """The array on a device; a copy if it is not there yet."""
    if device_of(array) == device:
        return array
    return on_host(array) if device == "numpy" else use_gpu().asarray(array)


def on_host(array):
    """The array in this machine's memory; waits for a GPU that is still making it."""
    return array if device_of(array) == "numpy" else array.get()


def shape_of(array):
    """The shape of an array on any device, or of what NumPy would make of it."""
    return array.shape if hasattr(array, "shape") else np.shape(array)


class _Chosen:
    gpu = 0  # the number of this process's GPU


def use_gpu(number=None):
    """CuPy, on the GPU of this process: `number`, or the one chosen before. Raises ConfigError without one.

    Numbers count round the GPUs that the process is shown: a launcher may show each rank its own one alone.
    """
    try:
        import cupy
    except ImportError as reason:
        raise ConfigError(f"device cupy: {reason}; pip install 'minigpt[cupy]'") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as reason:
        raise ConfigError(f"device cupy: no GPU can be used: {reason}; use --device numpy") from None
    if number is not None:
        _Chosen.gpu = number % count
    cupy.cuda.Device(_Chosen.gpu).use()
    return cupy


def dtype_of(name, dtypes=DTYPES):
    """The NumPy type by its name, by default "float32" or "float64", or by itself; else a ConfigError."""
    try:
        return np.dtype(dtypes[np.dtype(name).name])
    except (KeyError, TypeError):
        raise ConfigError(f"dtype must be one of {', '.join(dtypes)}: found {name!r}") from None


def gpu_name():
    """What the GPU in use is called."""
    return use_gpu().cuda.runtime.getDeviceProperties(_Chosen.gpu)["name"].decode()


class GpuMemory(NamedTuple):
    """Bytes: held by arrays, within reach of this process at most, on the GPU in all."""

    used: int
    available: int
    total: int


def gpu_memory():
    """The memory of the GPU in use, as it is now."""
    cupy = use_gpu()
    pool, (free, total) = cupy.get_default_memory_pool(), cupy.cuda.runtime.memGetInfo()
    return GpuMemory(pool.used_bytes(), free + pool.total_bytes(), total)


class Flat(Mapping):
    """Named arrays that lie end to end in one buffer: flat["wte.weight"] is a view of flat.buffer.

    One buffer makes the optimizer one operation, the gradient norm one sum and an all-reduce one message.
    Matrices come first in it: those that decay are buffer[:n_decayed]. Iteration keeps the order of shapes.
    """

    def __init__(self, shapes, buffer):
        matrices = [name for name in shapes if len(shapes[name]) == 2]
        vectors = [name for name in shapes if len(shapes[name]) != 2]
        self.shapes, self.buffer = dict(shapes), buffer
        self.n_decayed = sum(math.prod(shapes[name]) for name in matrices)
        stops = accumulate(math.prod(shapes[name]) for name in matrices + vectors)
        self.places = {
            name: slice(start, stop)
            for name, (start, stop) in zip(matrices + vectors, pairwise([0, *stops]), strict=True)
        }
        self._views = {name: buffer[self.places[name]].reshape(shapes[name]) for name in shapes}

    @classmethod
    def zeros(cls, shapes, dtype="float32"):
        """All zeros, for example moments or a model about to be filled."""
        return cls(shapes, np.zeros(sum(map(math.prod, shapes.values())), dtype))

    @classmethod
    def empty_like(cls, arrays, shapes):
        """Room for shapes, of the number type and on the device of any mapping of names to arrays."""
        one = next(iter(arrays.values()))
        return cls(shapes, np.empty(sum(map(math.prod, shapes.values())), one.dtype, like=one))

    @classmethod
    def pack(cls, arrays, dtype):
        """A copy of any mapping of names to arrays, as one buffer, on their device."""
        shapes, one = {name: shape_of(array) for name, array in arrays.items()}, next(iter(arrays.values()))
        flat = cls(shapes, np.empty(sum(map(math.prod, shapes.values())), dtype, like=one))
        for name, view in flat.items():
            view[...] = arrays[name]
        return flat

    def like(self, buffer):
        """The same names and shapes over another buffer."""
        return Flat(self.shapes, buffer)

    def __getitem__(self, name):
        return self._views[name]

    def __iter__(self):
        return iter(self._views)

    def __len__(self):
        return len(self._views)


def collect(gradients, into, add):
    """Lay a stream of (name, gradient) into a Flat: over what it held, or added to it."""
    for name, gradient in gradients:
        view = into[name]
        np.add(view, gradient, out=view) if add else np.copyto(view, gradient)
    return into
