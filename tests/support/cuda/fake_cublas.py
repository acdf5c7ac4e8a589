"""cuBLAS's two products on the host's memory, read as its documentation says: column by column.

https://docs.nvidia.com/cuda/cublas, cublasGemmEx: C = alpha * op(A) @ op(B) + beta * C. Strict where cuBLAS
answers INVALID_VALUE or NOT_SUPPORTED. Products are made in float64 and rounded once to float32.
"""

import ctypes

import ml_dtypes
import numpy as np

from tests.support.device_array import LAUNCHES

KINDS = {0: np.dtype(np.float32), 2: np.dtype(np.float16), 14: np.dtype(ml_dtypes.bfloat16)}
FULL, TF32 = 68, 77
# what the type of A and B may be made into, by compute type
RESULTS = {(14, FULL): (0, 14), (2, FULL): (0, 2), (0, FULL): (0,), (0, TF32): (0,)}
NAN_FREE = 0.0  # beta: C is not read


class CUBLASError(Exception):
    """An argument that cuBLAS refuses."""


def gemmEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc,
    computeType, algo,
):  # fmt: skip
    """One product."""
    LAUNCHES.append("gemm")
    multiply(
        transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType
    )  # fmt: skip


def gemmStridedBatchedEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta,
    C, Ctype, ldc, strideC, batchCount, computeType, algo,
):  # fmt: skip
    """batchCount products."""
    LAUNCHES.append("gemm")
    for i in range(batchCount):
        a, b, c = (
            start + i * stride * KINDS[kind].itemsize
            for start, stride, kind in ((A, strideA, Atype), (B, strideB, Btype), (C, strideC, Ctype))
        )
        multiply(
            transa, transb, m, n, k, alpha, a, Atype, lda, b, Btype, ldb, beta, c, Ctype, ldc, computeType
        )  # fmt: skip


def multiply(
    transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType
):  # fmt: skip
    """C = alpha * op(A) @ op(B) + beta * C."""
    check(transa, transb, m, n, k, (Atype, lda), (Btype, ldb), (Ctype, ldc), computeType)
    a = operand(A, Atype, lda, transa, m, k)
    b = operand(B, Btype, ldb, transb, k, n)
    if computeType == TF32:
        a, b = cut(a), cut(b)
    c = column_major(C, Ctype, ldc, m, n)
    alpha, beta = (ctypes.c_float.from_address(address).value for address in (alpha, beta))
    result = np.float32(alpha) * (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    c[...] = result if beta == NAN_FREE else result + np.float32(beta) * c.astype(np.float32)


def check(transa, transb, m, n, k, a, b, c, compute):
    """Raise CUBLASError where cuBLAS does."""
    if min(m, n, k) < 0 or transa not in (0, 1) or transb not in (0, 1):
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: sizes or ops")
    least = {"lda": k if transa else m, "ldb": n if transb else k, "ldc": m}
    for (name, rows), (_, ld) in zip(least.items(), (a, b, c), strict=True):
        if ld < max(1, rows):
            raise CUBLASError(f"CUBLAS_STATUS_INVALID_VALUE: {name} is {ld}, a column has {rows}")
    if a[0] != b[0] or c[0] not in RESULTS.get((a[0], compute), ()):
        raise CUBLASError(f"CUBLAS_STATUS_NOT_SUPPORTED: types {a[0]}, {b[0]} to {c[0]}, compute {compute}")


def operand(address, kind, ld, trans, rows, columns):
    """op of a factor: (rows, columns) after it was turned, if it is to be."""
    if trans:
        return column_major(address, kind, ld, columns, rows).T
    return column_major(address, kind, ld, rows, columns)


def column_major(address, kind, ld, rows, columns):
    """The memory of a matrix whose columns lie ld numbers apart, as an array that can be written to."""
    dtype = KINDS[kind]
    count = ld * (columns - 1) + rows if rows and columns else 0
    memory = (ctypes.c_byte * (count * dtype.itemsize)).from_address(address)
    flat = np.frombuffer(memory, dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, ld * dtype.itemsize))


def cut(numbers):
    """float32 rounded to 10 bits of fraction, to the nearest, ties to even."""
    bits = numbers.astype(np.float32).view(np.uint32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & ~np.uint32(0x1FFF)).view(np.float32)
