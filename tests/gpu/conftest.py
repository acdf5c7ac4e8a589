"""What only a GPU can show, or shows best. Without one nothing of it is run, and a line says so.

MINIGPT_TEST_GPU=stand-in runs all of it in miniature on the stand-in for CuPy: so `make test` sees it all.
"""

import importlib
import os
import shutil
from pathlib import Path

import pytest

from tests.gpu.sizes import LARGE, STAND_IN
from tests.support.cuda import emulated_cupy
from tests.support.cuda.bench import Bench, draw, dtype  # noqa: F401  (fixtures)

FOLDER = Path(__file__).parent
MINIATURE = os.environ.get("MINIGPT_TEST_GPU") == "stand-in"


def gpus():
    """How many there are; 0 as well where CuPy is not installed or finds no driver."""
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    except Exception:
        return 0


HERE = MINIATURE or gpus() > 0
SANITIZER = shutil.which("compute-sanitizer")


def pytest_collection_modifyitems(config, items):
    """Leave out what cannot run here: without a GPU all of this folder, without its tool the sanitizer."""
    out = [item for item in items if item.path.parent == FOLDER and not can_run(item.path.name)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


def can_run(file):
    return HERE and (file != "test_sanitizer.py" or bool(SANITIZER) or MINIATURE)


def pytest_report_header():
    if not HERE:
        return "tests/gpu: no GPU that CuPy can use: nothing of it is run"
    sanitizer = SANITIZER or "not installed: test_sanitizer.py is not run"
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
