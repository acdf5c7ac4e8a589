"""What cublasLt does to a product before it is stored: cublasLtEpilogue_t, as its documentation says.

https://docs.nvidia.com/cuda/cublas. A bias or a gradient of one has a number for each row of the result,
and its type.
"""

import enum

import numpy as np

from tests.support.cuda.fake_cublas import column_major

INVALID_VALUE = 7


class Epilogue(enum.IntEnum):
    DEFAULT = 1
    BIAS = 4
    GELU_AUX_BIAS = 164
    DGELU = 192
    BGRADA = 256


class cuBLASLtError(Exception):
    """What cublasLt refuses."""

    def __init__(self, status, why=""):
        super().__init__(f"status {status}: {why}")
        self.status = status


def invalid(why):
    return cuBLASLtError(INVALID_VALUE, why)


def finished(epilogue, desc, result, sums, kind):
    """The epilogue: result (m, n), with a bias or a bias gradient of one number a row."""
    m, n = result.shape
    if epilogue in (Epilogue.BIAS, Epilogue.GELU_AUX_BIAS):
        result = result + _vector(desc, kind, m)[:, None].astype(np.float32)
    if epilogue == Epilogue.BGRADA:
        _vector(desc, kind, m)[...] = sums
    if epilogue == Epilogue.GELU_AUX_BIAS:
        _auxiliary(desc, kind, m, n)[...] = result
        result = _gelu(result)[0]
    if epilogue == Epilogue.DGELU:
        result = result * _gelu(_auxiliary(desc, kind, m, n).astype(np.float32))[1]
    return result


def _vector(desc, kind, m):
    return column_major(_pointer(desc, "BIAS_POINTER"), kind, m, m, 1)[:, 0]


def _auxiliary(desc, kind, m, n):
    return column_major(_pointer(desc, "EPILOGUE_AUX_POINTER"), kind, desc["EPILOGUE_AUX_LD"], m, n)


def _pointer(desc, name):
    address = desc.get(name, 0)
    if not address or address % 16:
        raise invalid(f"{name} is {address}")
    return address


def _gelu(x):
    """GELU in its tanh form, and its slope, in float32."""
    slope, cubic = np.float32(np.sqrt(2 / np.pi)), np.float32(0.044715)
    s = np.tanh(slope * (x + cubic * x * x * x))
    return x / 2 * (1 + s), (1 + s) / 2 + x / 2 * (1 - s * s) * slope * (1 + 3 * cubic * x * x)
