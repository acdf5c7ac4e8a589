"""Named arrays in one buffer, and the names of the number types."""

import math
from collections.abc import Mapping

import numpy as np

from minigpt.errors import ConfigError

DTYPES = {"float32": np.float32, "float64": np.float64}


def dtype_of(name, dtypes=DTYPES):
    """The NumPy type by its name, by default "float32" or "float64", or by itself; else a ConfigError."""
    try:
        return np.dtype(dtypes[np.dtype(name).name])
    except (KeyError, TypeError):
        raise ConfigError(f"dtype must be one of {', '.join(dtypes)}: found {name!r}") from None


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
        start, views = 0, {}
        for name in matrices + vectors:
            stop = start + math.prod(shapes[name])
            views[name], start = buffer[start:stop].reshape(shapes[name]), stop
        self._views = {name: views[name] for name in shapes}

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
        """A copy of any mapping of names to arrays, as one buffer."""
        flat = cls.zeros({name: np.shape(array) for name, array in arrays.items()}, dtype)
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
