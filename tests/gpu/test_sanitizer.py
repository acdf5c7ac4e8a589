"""NVIDIA's compute-sanitizer over whole steps: accesses, races, reads of what nothing wrote, barriers.

The stand-in has no compute-sanitizer; there the same program runs by itself, which shows that it runs.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FOUND = 9  # the exit code by which the sanitizer says that it has found something


@pytest.mark.parametrize("tool", TOOLS)
def test_a_step_is_clean(bench, tool):
    program = [sys.executable, "-m", "tests.gpu.one_step", *(["--stand-in"] if bench.mode else [])]
    if not bench.mode:
        watch = [shutil.which("compute-sanitizer"), "--tool", tool, "--error-exitcode", str(FOUND)]
        program = [*watch, *program]
    elif tool != TOOLS[0]:
        return
    ran = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
    assert "loss 4." in ran.stdout
