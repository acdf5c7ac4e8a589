"""A stand-in for CuPy's ndarray that needs no GPU: NumPy inside, CuPy's manners outside.

Array code that is to run on both libraries can go wrong in three ways, and all three fail here too:

- it hands a device array to a NumPy function that CuPy does not have, or with arguments that CuPy's does
  not take: only the functions listed here exist, with the signatures of CuPy 14.2
- it makes an array on the host and mixes it in (a forgotten `like=`): host arrays are refused
- it turns a device array into a host array by accident: `__array__` raises, as CuPy's does

Not covered: what CuPy's own kernels compute, their rounding, and anything about speed.
"""

from types import SimpleNamespace

import numpy as np

from tests.support.device_memory import METER

# name -> the function with CuPy 14.2's signature (cupy.<name>), done by NumPy; tests compare the signatures
# where CuPy is installed
FUNCTIONS = {
    "arange": lambda start, stop=None, step=1, dtype=None: np.arange(start, stop, step, dtype),
    "concatenate": lambda tup, axis=0, out=None, *, dtype=None, casting="same_kind": np.concatenate(
        tup, axis, out, dtype=dtype, casting=casting
    ),
    "copyto": lambda dst, src, casting="same_kind", where=None: np.copyto(
        dst, src, casting, True if where is None else where
    ),
    "empty": lambda shape, dtype=float, order="C": np.empty(shape, dtype, order),
    "empty_like": lambda prototype, dtype=None, order="K", subok=None, shape=None: np.empty_like(
        prototype, dtype, order, False, shape
    ),
    "pad": lambda array, pad_width, mode="constant", **kwargs: np.pad(array, pad_width, mode, **kwargs),
    "split": lambda ary, indices_or_sections, axis=0: np.split(ary, indices_or_sections, axis),
    "take_along_axis": lambda a, indices, axis: np.take_along_axis(a, indices, axis),
    "tri": lambda N, M=None, k=0, dtype=float: np.tri(N, M, k, dtype),
    "where": lambda condition, x=None, y=None: np.where(condition, x, y),
    "zeros_like": lambda a, dtype=None, order="K", subok=None, shape=None: np.zeros_like(
        a, dtype, order, False, shape
    ),
}

UFUNCS = frozenset({
    "absolute", "add", "divide", "equal", "exp", "greater", "greater_equal", "isfinite", "less", "less_equal",
    "log", "matmul", "maximum", "minimum", "multiply", "negative", "not_equal", "positive", "power", "sqrt",
    "subtract", "tanh",
})  # fmt: skip


class Launches(list):
    """What the device was given to do, in order: a name each. Each of `watchers` hears of it before."""

    def __init__(self):
        super().__init__()
        self.watchers = []

    def append(self, name):
        for watcher in self.watchers:
            watcher(name)
        super().append(name)


LAUNCHES = Launches()
WAITS = []  # why the host waited for the device, in order


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that only meets its own kind and plain numbers; operators come from the mixin, as ufuncs."""

    __module__ = "cupy"  # by which minigpt.arrays.device_of knows where an array is

    def __init__(self, host):
        self._host = np.asarray(host)
        METER.count(self._host)

    def get(self):
        """The one way back to the host, as in CuPy."""
        WAITS.append("get")
        return self._host.copy()

    def set(self, arr, stream=None):
        """Take over the numbers of a host array of the same shape and type."""
        if arr.shape != self.shape or arr.dtype != self.dtype:
            raise ValueError(f"Shape or dtype mismatch: {arr.shape} {arr.dtype} to {self.shape} {self.dtype}")
        self._host[...] = arr

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if ufunc.__name__ not in UFUNCS or (method != "__call__" and (ufunc, method) != (np.add, "at")):
            return NotImplemented
        LAUNCHES.append(ufunc.__name__)
        if out:
            options["out"] = unwrapped(out)
        return wrapped(getattr(ufunc, method)(*unwrapped(inputs), **options))

    def __array_function__(self, function, types, arguments, options):
        if function.__name__ not in FUNCTIONS:
            return NotImplemented
        if function.__name__ not in ("empty", "empty_like"):
            LAUNCHES.append(function.__name__)
        return wrapped(FUNCTIONS[function.__name__](*unwrapped(arguments), **unwrapped(options)))

    shape = property(lambda self: self._host.shape)
    size = property(lambda self: self._host.size)
    ndim = property(lambda self: self._host.ndim)
    dtype = property(lambda self: self._host.dtype)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))
    real = property(lambda self: DeviceArray(self._host.real))
    T = property(lambda self: DeviceArray(self._host.T))

    def __getitem__(self, key):
        return DeviceArray(self._host[unwrapped(key)])

    def __setitem__(self, key, value):
        LAUNCHES.append("copy")
        self._host[unwrapped(key)] = unwrapped(value)

    def __len__(self):
        return len(self._host)

    def __float__(self):
        WAITS.append("float")
        return float(self._host)

    def __bool__(self):
        WAITS.append("bool")
        return bool(self._host)

    def fill(self, value):
        LAUNCHES.append("fill")
        self._host.fill(value)

    def astype(self, dtype, copy=True):
        LAUNCHES.append("astype")
        return DeviceArray(self._host.astype(dtype, copy=copy))

    def copy(self, order="C"):
        LAUNCHES.append("copy")
        return DeviceArray(self._host.copy(order))

    def reshape(self, *shape):
        return DeviceArray(self._host.reshape(*shape))

    def transpose(self, *axes):
        return DeviceArray(self._host.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        return DeviceArray(self._host.swapaxes(axis1, axis2))

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        LAUNCHES.append("sum")
        return DeviceArray(self._host.sum(axis, dtype, unwrapped(out), keepdims))

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        LAUNCHES.append("mean")
        return DeviceArray(self._host.mean(axis, dtype, unwrapped(out), keepdims))

    def max(self, axis=None, out=None, keepdims=False):
        LAUNCHES.append("max")
        return DeviceArray(self._host.max(axis, unwrapped(out), keepdims))


def unwrapped(value):
    """What NumPy is to work on: device arrays opened, plain values as they are, host arrays refused."""
    if isinstance(value, DeviceArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: a host array among device arrays")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrapped(part) for part in value)
    if isinstance(value, dict):
        return {name: unwrapped(part) for name, part in value.items()}
    return value


def wrapped(result):
    """What NumPy gave back, on the device again; CuPy returns arrays () where NumPy returns scalars."""
    if isinstance(result, (tuple, list)):
        return type(result)(wrapped(part) for part in result)
    return None if result is None else DeviceArray(result)


def on_device(value):
    """A copy of value with every array in it, however deep in tuples and lists, on the device.

    Layouts are kept: BLAS may add up in another order for another layout.
    """
    if isinstance(value, (tuple, list)):
        return type(value)(on_device(part) for part in value)
    return DeviceArray(value.copy(order="K")) if isinstance(value, np.ndarray) else value


def on_host(value):
    """The inverse of on_device."""
    if isinstance(value, (tuple, list)):
        return type(value)(on_host(part) for part in value)
    return value.get() if isinstance(value, DeviceArray) else value
