"""CUDA without a GPU: a stand-in for CuPy that builds the kernels with g++ and runs them on the CPU.

    with emulated_cupy() as cupy:
        from minigpt.kernels.cuda import gelu
        y = gelu.bias_gelu_forward(cupy.asarray(x), cupy.asarray(bias)).get()

engine.cpp runs a kernel's threads and watches what they do; include/ is CUDA's vocabulary in C++; emulator.py
builds and launches; fake_cupy.py is the module that `import cupy` finds.
"""

import contextlib
import sys

from tests.support.cuda import fake_cupy, fake_runtime


@contextlib.contextmanager
def emulated_cupy():
    """`import cupy` gives the stand-in, and minigpt's CUDA modules are imported anew, on it."""
    before = taken()
    sys.modules["cupy"] = fake_cupy
    sys.modules.update(fake_runtime.modules())
    fake_cupy.cuda = sys.modules["cupy.cuda"]
    try:
        yield fake_cupy
    finally:
        taken()
        sys.modules.update(before)


def taken():
    """Take cupy and all that has imported it out of sys.modules."""
    names = [
        name
        for name in sys.modules
        if name == "cupy" or name.startswith(("cupy.", "cupyx", "minigpt.kernels.cuda"))
    ]
    return {name: sys.modules.pop(name) for name in names}
