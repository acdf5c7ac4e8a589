"""Which of OpenBLAS's kernels NumPy will multiply with: it must be said before NumPy is loaded.

OpenBLAS takes its AVX-512 kernels wherever the processor has these instructions. AMD's Zen 4 does each of
them in two halves, and is faster with the AVX2 kernels (`python -m bench.blas` measures it); Zen 5 and
Intel's processors are not. Only where they were tried: those of OpenBLAS 0.3.34, in NumPy 2.5, crash in
float64.
"""

import functools
import os
import sys

VARIABLE, AVX2 = "OPENBLAS_CORETYPE", "Haswell"
CPUINFO = "/proc/cpuinfo"
TRIED = "2.4."  # NumPy's releases with OpenBLAS 0.3.31


def choose_kernels():
    """Tell OpenBLAS, unless the user has, or it is there already and would not hear."""
    if VARIABLE in os.environ or "numpy" in sys.modules:
        return
    if on_zen4() and numpy_version().startswith(TRIED):
        os.environ[VARIABLE] = AVX2


@functools.cache
def on_zen4():
    """Whether this machine has Zen 4 processors. Linux tells; elsewhere it is taken that it has not."""
    try:
        with open(CPUINFO, encoding="utf-8", errors="replace") as file:
            return is_zen4(file.read(8192))  # one processor's entry takes 2,000 characters, and all are alike
    except OSError:
        return False


def numpy_version():
    """The version of the NumPy that would be loaded, by the name of what pip left beside it; "" if unknown.

    importlib.metadata says it too, but takes as long to load as all else of `import minigpt`.
    """
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith("numpy-") and name.endswith(".dist-info"):
                return name.removeprefix("numpy-").removesuffix(".dist-info")
    return ""


def is_zen4(cpuinfo):
    """Whether Linux describes a Zen 4: of AMD's family 25, which Zen 3 is of too, those with AVX-512."""
    fields = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    family = fields.get("vendor_id"), fields.get("cpu family")
    return family == ("AuthenticAMD", "25") and "avx512f" in fields.get("flags", "").split()
