"""Which of OpenBLAS's kernels NumPy will multiply with: it must be said before NumPy is loaded.

OpenBLAS takes its AVX-512 kernels wherever the processor has these instructions. AMD's Zen 4 does each of
them in two halves, and is faster with the AVX2 kernels (`python -m bench.blas` measures it); Zen 5 and
Intel's processors are not.
"""

import os
import sys

VARIABLE, AVX2 = "OPENBLAS_CORETYPE", "Haswell"
CPUINFO = "/proc/cpuinfo"


def choose_kernels():
    """Tell OpenBLAS, unless the user has, or it is there already and would not hear."""
    if VARIABLE in os.environ or "numpy" in sys.modules:
        return
    try:
        with open(CPUINFO, encoding="utf-8", errors="replace") as file:
            first = file.read(8192)  # one processor's entry takes 2,000 characters, and all are alike
    except OSError:
        return
    if is_zen4(first):
        os.environ[VARIABLE] = AVX2


def is_zen4(cpuinfo):
    """Whether Linux describes a Zen 4: of AMD's family 25, which Zen 3 is of too, those with AVX-512."""
    fields = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    family = fields.get("vendor_id"), fields.get("cpu family")
    return family == ("AuthenticAMD", "25") and "avx512f" in fields.get("flags", "").split()
