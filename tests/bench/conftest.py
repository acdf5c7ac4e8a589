"""Stages of bench.gpu in this process, on the stand-in for CuPy."""

import sys

import pytest

from tests.support.cuda import emulated_cupy


@pytest.fixture
def cupy():
    with emulated_cupy() as cupy:
        yield cupy
    for name in [name for name in sys.modules if name.startswith(("bench.gpu.stages.", "bench.gpu.timing"))]:
        del sys.modules[name]  # they hold the stand-in
