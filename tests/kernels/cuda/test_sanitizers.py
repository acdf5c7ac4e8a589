"""Some of the kernels' tests under g++'s sanitizers; all: python -m tests.kernels.cuda.sanitized."""

import platform
import shutil

import pytest

from tests.kernels.cuda.faults import KERNELS
from tests.kernels.cuda.sanitized import FOUND, HERE, run

SUMS = [str(HERE / "test_sums.py"), "-k", "bias_add"]

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(
        platform.system() != "Linux" or not shutil.which("g++"),
        reason="the sanitizers of g++ on Linux are used",
    ),
]


def test_they_find_nothing():
    status, output = run(SUMS)
    assert status == 0, output
    assert "passed" in output


FAULTS = {
    "an address": ("load(values, here);", "load(values, here + gridDim.x * C);"),
    "a shift": ("    stored* here", "    if (C << (31 + column) == 5) return;\n    stored* here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_they_would(tmp_path, monkeypatch, fault):
    old, new = FAULTS[fault]
    shutil.copytree(KERNELS, tmp_path / "cuda")
    text = (KERNELS / "bias.cu").read_text()
    assert text.count(old) == 1
    (tmp_path / "cuda" / "bias.cu").write_text(text.replace(old, new))
    monkeypatch.setenv("MINIGPT_KERNEL_SOURCES", str(tmp_path / "cuda"))
    status, output = run(SUMS)
    assert status == FOUND, output
