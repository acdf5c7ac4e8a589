"""Which kernels OpenBLAS is told to take: on Zen 4, before NumPy is loaded, unless a user has said."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minigpt.blas import CPUINFO, TRIED, is_zen4

FLAGS = "flags\t\t: fpu " + "sse2 " * 300 + "avx2 fma avx512f avx512dq"  # a real line has 1,500 characters
AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: {}\nmodel\t\t: 17\n"
ASK = "import os, minigpt; print(os.environ.get('OPENBLAS_CORETYPE'))"


@pytest.mark.parametrize(
    ("cpuinfo", "want"),
    [
        (AMD.format(25) + FLAGS, True),  # Zen 4
        (AMD.format(25) + FLAGS.replace("avx512f", ""), False),  # Zen 3
        (AMD.format(25) + FLAGS.replace("avx512f", "avx512f_not"), False),
        (AMD.format(26) + FLAGS, False),  # Zen 5
        ((AMD.format(25) + FLAGS).replace("AuthenticAMD", "GenuineIntel"), False),
        (AMD.format(26) + FLAGS + "\n\n" + AMD.format(25) + FLAGS, False),  # the first processor counts
        ("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd", False),  # ARM
        ("", False),
    ],
)
def test_a_zen_4_is_told_by_what_linux_says_of_it(cpuinfo, want):
    assert is_zen4(cpuinfo) is want


def asked(program, tmp_path, cpuinfo, numpy="2.4.6", **environment):
    """What a new process prints, on a machine that describes itself so and has this NumPy."""
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    (tmp_path / numpy / f"numpy-{numpy}.dist-info").mkdir(parents=True, exist_ok=True)
    lines = f"""
import builtins, sys
sys.path.insert(0, {str(tmp_path / numpy)!r})
opened = open
there = {str(tmp_path / "cpuinfo")!r}
builtins.open = lambda path, *a, **k: opened(there if path == {CPUINFO!r} else path, *a, **k)
{program}
"""
    clean = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    command = [sys.executable, "-c", lines]
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_openblas_is_told_before_numpy_is_loaded(tmp_path):
    zen4 = AMD.format(25) + FLAGS
    assert asked(ASK, tmp_path, zen4) == "Haswell"
    assert asked(ASK, tmp_path, AMD.format(26) + FLAGS) == "None"
    assert asked(ASK, tmp_path, zen4, numpy="2.5.5") == "None"  # its OpenBLAS crashes in float64 with these
    assert asked(ASK, tmp_path, zen4, numpy="2.40.0") == "None"
    assert asked(f"import numpy\n{ASK}", tmp_path, zen4) == "None"  # too late
    assert asked(f"import os\nos.remove(there)\n{ASK}", tmp_path, zen4) == "None"  # no Linux
    assert asked(ASK, tmp_path, zen4, OPENBLAS_CORETYPE="SkylakeX") == "SkylakeX"  # the user's word
    loaded = "import minigpt, numpy, threadpoolctl as t\nprint(t.threadpool_info()[0]['architecture'])"
    if "avx2" in open("/proc/cpuinfo").read() and np.__version__.startswith(TRIED):
        assert asked(loaded, tmp_path, zen4) == "Haswell"
