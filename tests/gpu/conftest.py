"""What only a GPU can show, or shows best. Without one nothing is collected here, and a line says so.

MINIGPT_TEST_GPU=stand-in runs all of it in miniature on the stand-in for CuPy: so `make test` sees it all.
"""

import importlib
import os
import shutil

import numpy as np
import pytest

from tests.gpu.sizes import LARGE, STAND_IN
from tests.support.cuda import emulated_cupy
from tests.support.cuda.bench import Bench, drawing

MINIATURE = os.environ.get("MINIGPT_TEST_GPU") == "stand-in"


def gpus():
    """How many there are; 0 as well where CuPy is not installed or finds no driver."""
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    except Exception:
        return 0


HERE = MINIATURE or gpus() > 0
SANITIZER = shutil.which("compute-sanitizer")
collect_ignore_glob = [] if HERE else ["test_*.py"]
if HERE and not (SANITIZER or MINIATURE):
    collect_ignore_glob = ["test_sanitizer.py"]


def pytest_report_header():
    if not HERE:
        return "tests/gpu: no GPU that CuPy can use: nothing of it is collected"
    sanitizer = SANITIZER or "not installed: test_sanitizer.py is not collected"
    return f"tests/gpu: {'in miniature on the stand-in' if MINIATURE else 'on a GPU'}; sanitizer {sanitizer}"


@pytest.fixture(scope="module")
def bench():
    if not MINIATURE:
        yield Bench(importlib.import_module("cupy"))
        return
    with emulated_cupy() as cupy:
        yield Bench(cupy, "quick")


@pytest.fixture
def sizes():
    return STAND_IN if MINIATURE else LARGE


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def draw():
    return drawing()
