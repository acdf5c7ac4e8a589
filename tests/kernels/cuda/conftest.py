"""The kernels on CuPy's stand-in, in several orders of threads; with MINIGPT_TEST_GPU=1 on a GPU."""

import importlib
import os
import shutil
from pathlib import Path

import pytest

from tests.support.cuda import emulated_cupy
from tests.support.cuda.bench import Bench, draw, dtype  # noqa: F401  (fixtures)

MODE = os.environ.get("MINIGPT_EMULATION", "watched")
SOURCES = os.environ.get("MINIGPT_KERNEL_SOURCES")  # a folder with faults in it: tests/kernels/cuda/faults.py
GPU = os.environ.get("MINIGPT_TEST_GPU") == "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "emulation: looks at what only the stand-in for CuPy shows")


def pytest_collection_modifyitems(config, items):
    """On a GPU, leave out what is about the emulation."""
    if GPU:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("emulation")])
        items[:] = [item for item in items if not item.get_closest_marker("emulation")]


@pytest.fixture(scope="module")
def bench():
    if GPU:
        yield Bench(importlib.import_module("cupy"))
        return
    if shutil.which("g++") is None:
        pytest.skip("the kernels run on the CPU through g++, which is not installed")
    with emulated_cupy() as cupy:
        bench = Bench(cupy, MODE)
        if SOURCES:
            bench.module("module").FOLDER = Path(SOURCES)
        yield bench
