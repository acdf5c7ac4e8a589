"""From a .cu file to a function: headers put in place, compiled once, arguments held to their types."""

import functools
import re
from pathlib import Path

import cupy
import ml_dtypes
import numpy as np

FOLDER = Path(__file__).parent
PLENTY = 48 * 1024  # bytes of dynamic shared memory that a kernel may have without asking

# the number types of arrays in device memory, by their names in CUDA C
ARRAYS = {"float": np.dtype(np.float32), "int": np.dtype(np.int32), "long long": np.dtype(np.int64)}
STORED = {np.dtype(ml_dtypes.bfloat16): "__nv_bfloat16", np.dtype(np.float32): "float"}

SIGNATURE = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^{]*?\)\s+)?(\w+)\(([^)]*)\)')


@functools.cache
def kernel(file, name, dtype="float32", WIDTH=1, **defines):
    """The kernel called name of file.cu, for arrays stored as dtype, WIDTH elements at once.

        kernel("gelu", "bias_gelu_forward", x.dtype, WIDTH=8)(grid, block, x, bias, y, ...)

    Compiled at the first call for each set of defines; CuPy keeps the result on disk.
    """
    dtype = np.dtype(dtype)
    module = compiled(file, STORED[dtype], tuple(sorted({"WIDTH": WIDTH, **defines}.items())))
    return Kernel(module.get_function(name), parameters(source(file), dtype)[name])


@functools.cache
def compiled(file, stored, defines):
    options = ["-std=c++17", f"-DSTORED={stored}", *(f"-D{name}={value}" for name, value in defines)]
    return cupy.RawModule(code=source(file), options=tuple(options))


@functools.cache
def source(file):
    """The text of file.cu with its .cuh headers in place: CuPy's cache does not look into included files."""
    seen = set()

    def put_in(match):
        header = match[1]
        if header in seen:
            return ""
        seen.add(header)
        return INCLUDE.sub(put_in, (FOLDER / header).read_text(encoding="utf-8"))

    return INCLUDE.sub(put_in, (FOLDER / f"{file}.cu").read_text(encoding="utf-8"))


INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


def parameters(text, dtype):
    """What each kernel of a source takes: the array types and number types of its parameters, in order."""
    return {
        name: tuple(parameter(p, dtype) for p in inside.split(","))
        for name, inside in SIGNATURE.findall(text)
    }


def parameter(declaration, dtype):
    """("const stored* x", bfloat16) -> ("x", True, bfloat16): its name, whether it is an array, its dtype."""
    kind, name = re.fullmatch(
        r"\s*(?:const )?([\w ]+?\*?)\s*(?:__restrict__ )?(\w+)\s*", declaration
    ).groups()
    element = kind.removesuffix("*")
    return name, kind.endswith("*"), dtype if element == "stored" else ARRAYS[element]


class Kernel:
    """A compiled kernel that takes arrays, None where an array is optional, and plain numbers."""

    def __init__(self, function, parameters):
        self.function, self.parameters, self._shared = function, parameters, PLENTY

    def __call__(self, grid, block, *arguments, shared=0):
        """Launch on the current stream: grid and block as tuples, shared in bytes."""
        if shared > self._shared:
            self.function.max_dynamic_shared_size_bytes = self._shared = shared
        fitted = [fit(p, a) for p, a in zip(self.parameters, arguments, strict=True)]
        self.function(grid, block, tuple(fitted), shared_mem=shared)


def fit(parameter, argument):
    """An argument as the kernel's parameter expects it; an array of another type would be garbage."""
    name, is_array, dtype = parameter
    if not is_array:
        return dtype.type(argument)
    if argument is None:
        return np.uintp(0)
    if argument.dtype != dtype or not argument.flags.c_contiguous:
        raise TypeError(
            f"kernel argument {name}: a contiguous {dtype} array expected, found {argument.dtype}"
        )
    return argument


def width(columns, *arrays):
    """Elements that a thread can move at once: 16 bytes, if all rows begin on multiples of 16, else one."""
    present = [array for array in arrays if array is not None]
    n = 16 // max(array.dtype.itemsize for array in present)
    aligned = all(array.data.ptr % 16 == 0 for array in present)
    return n if columns % n == 0 and aligned else 1


def blocks(n, size):
    """How many blocks of a size cover n."""
    return -(-n // size)
