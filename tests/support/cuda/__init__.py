"""CUDA without a GPU: a stand-in for CuPy that builds the kernels with g++ and runs them on the CPU.

    with emulated_cupy() as cupy:
        from minigpt.kernels.cuda import gelu
        y = gelu.bias_gelu_forward(cupy.asarray(x), cupy.asarray(bias)).get()

engine.cpp runs a kernel's threads and watches what they do; include/ is CUDA's vocabulary in C++; emulator.py
builds and launches; fake_cupy.py is the module that `import cupy` finds.
"""

import contextlib
import sys
from types import ModuleType

from tests.support.cuda import fake_cublaslt, fake_cudnn, fake_cupy, fake_runtime

LIBRARIES = {
    "nvmath": ModuleType("nvmath"),
    "nvmath.bindings": ModuleType("nvmath.bindings"),
    "nvmath.bindings.cublasLt": fake_cublaslt,
    "cudnn": fake_cudnn,
}
LIBRARIES["nvmath.bindings"].cublasLt = fake_cublaslt


@contextlib.contextmanager
def emulated_cupy(libraries=LIBRARIES):
    """`import cupy` gives the stand-in; minigpt's CUDA modules are imported anew, on it and the libraries."""
    before = taken()
    sys.modules["cupy"] = fake_cupy
    sys.modules.update(fake_runtime.modules() | libraries)
    fake_cupy.cuda = sys.modules["cupy.cuda"]
    try:
        yield fake_cupy
    finally:
        taken()
        sys.modules.update(before)


def taken():
    """Take cupy, the libraries beside it and all that has imported them out of sys.modules."""
    names = [
        name
        for name in sys.modules
        if name.partition(".")[0] in ("cupy", "cupyx", "nvmath", "cudnn")
        or name.startswith("minigpt.kernels.cuda")
    ]
    return {name: sys.modules.pop(name) for name in names}
