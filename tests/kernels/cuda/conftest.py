"""The kernels on CuPy's stand-in, in several orders of threads; with MINIGPT_TEST_GPU=1 on a GPU."""

import contextlib
import importlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.cuda import emulated_cupy
from tests.support.cuda.fake_cupy import settings

MODE = os.environ.get("MINIGPT_EMULATION", "watched")
SOURCES = os.environ.get("MINIGPT_KERNEL_SOURCES")  # a folder with faults in it: tests/kernels/cuda/faults.py
GPU = bool(os.environ.get("MINIGPT_TEST_GPU"))
SEEDS = (1, 2)  # one warp runs ahead; all advance together


if GPU:  # these are about faults, registers and sanitizers, for which emulation is there
    collect_ignore = ["test_planted_faults.py", "test_registers.py", "test_sanitizers.py"]


def pytest_configure(config):
    config.addinivalue_line("markers", "emulation: looks at what only the stand-in for CuPy shows")


def pytest_collection_modifyitems(config, items):
    """On a GPU, leave out what is about the emulation."""
    if GPU:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("emulation")])
        items[:] = [item for item in items if not item.get_closest_marker("emulation")]


class Bench:
    """For a test: arrays to and from the device, the kernels' modules, functions run in all orders."""

    def __init__(self, cupy):
        self.cupy = cupy

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
        with contextlib.nullcontext() if GPU else settings(mode=MODE, seed=seed):
            return {name: array.get().copy() for name, array in function().items()}


@pytest.fixture(scope="module")
def bench():
    if GPU:
        yield Bench(importlib.import_module("cupy"))
        return
    if shutil.which("g++") is None:
        pytest.skip("the kernels run on the CPU through g++, which is not installed")
    with emulated_cupy() as cupy:
        bench = Bench(cupy)
        if SOURCES:
            bench.module("module").FOLDER = Path(SOURCES)
        yield bench


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def draw():
    """draw(shape, dtype, scale): random numbers as they are stored, and the same numbers in float64."""
    rng = np.random.default_rng(0)

    def numbers(shape, dtype, scale=1.0):
        stored = (scale * rng.normal(size=shape)).astype(dtype)
        return stored, stored.astype(np.float64)

    return numbers
