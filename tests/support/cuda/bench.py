"""For tests of kernels: arrays to and from the device, the kernels' modules, functions run in all orders."""

import contextlib
import importlib

import numpy as np
import pytest

from tests.support.cuda.fake_cupy import settings

SEEDS = (1, 2)  # one warp runs ahead; all advance together


class Bench:
    """cupy: CuPy or its stand-in; mode: how the stand-in runs kernels, None on a GPU."""

    def __init__(self, cupy, mode=None):
        self.cupy, self.mode = cupy, mode

    def module(self, name):
        return importlib.import_module(f"minigpt.kernels.cuda.{name}".rstrip("."))

    def put(self, array, dtype=None):
        return None if array is None else self.cupy.asarray(array if dtype is None else array.astype(dtype))

    def odd(self, values):
        """The values on the device, at an address that is a multiple of their size and of no more."""
        view = self.cupy.zeros(values.size + 1, values.dtype)[1:].reshape(values.shape)
        view[...] = self.put(values)
        return view

    def run(self, function):
        """function() gives device arrays, the same bits in every order of threads. Here, on the host."""
        results = [self._once(function, seed) for seed in SEEDS]
        for again in results[1:]:
            for name in again:
                assert again[name].tobytes() == results[0][name].tobytes(), (
                    f"{name} depends on the order of threads"
                )
        return {
            name: array if array.dtype.kind == "i" else array.astype(np.float64)
            for name, array in results[0].items()
        }

    def _once(self, function, seed):
        with settings(mode=self.mode, seed=seed) if self.mode else contextlib.nullcontext():
            return {name: array.get().copy() for name, array in function().items()}


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request):
    """What arrays are stored as."""
    return np.dtype(request.param)


@pytest.fixture
def draw():
    """draw(shape, dtype, scale): random numbers as they are stored, and the same numbers in float64."""
    rng = np.random.default_rng(0)

    def numbers(shape, dtype, scale=1.0):
        stored = (scale * rng.normal(size=shape)).astype(dtype)
        return stored, stored.astype(np.float64)

    return numbers
