"""Matrix products by cuBLAS: out = alpha * a @ b + beta * out, sums always in float32.

cuBLAS counts along columns first. The memory of a matrix of rows is to it the transposed matrix, and so,
asked for out' = b' @ a', it fills out in the order of rows. A view that is transposed already costs nothing:
cuBLAS is told to turn it (op T) instead of a copy being made.
https://docs.nvidia.com/cuda/cublas, cublasGemmEx and cublasGemmStridedBatchedEx
"""

from typing import NamedTuple

import cupy
import numpy as np
from cupy.cuda import cublas, device

KINDS = {"float32": 0, "float16": 2, "bfloat16": 14}  # cudaDataType_t, library_types.h
AS_IT_IS, TURNED = 0, 1  # cublasOperation_t, cublas_api.h
FULL, TF32 = 68, 77  # cublasComputeType_t: factors as they are, or cut to 10 bits of fraction
DEFAULT = -1  # cublasGemmAlgo_t


class Layout(NamedTuple):
    """How cuBLAS is to read the memory of a matrix: turned or not, and from one line to the next."""

    op: int
    stride: int  # numbers


def gemm(a, b, out, *, alpha=1.0, beta=0.0, compute=FULL):
    """out = alpha * a @ b + beta * out, and out is returned. beta 0 does not read out.

    a and b are views of which either axis may be the contiguous one; out's last axis is.

    a (M, K), b (K, N), out (M, N) -> out (M, N)
    """
    (M, K), N = a.shape, b.shape[1]
    left, right = layout(b), layout(a)  # out' = b' @ a'
    scale = np.array([alpha, beta], np.float32)
    cublas.gemmEx(
        device.get_cublas_handle(), left.op, right.op, N, M, K,
        scale.ctypes.data, *matrix(b, left), *matrix(a, right),
        scale.ctypes.data + scale.itemsize, *matrix(out, layout_of_result(out)), compute, DEFAULT,
    )  # fmt: skip
    return out


def gemm_batched(a, b, out, *, alpha=1.0, beta=0.0, compute=FULL):
    """gemm of each of n matrices; from one to the next it is always equally far.

    a (n, M, K), b (n, K, N), out (n, M, N) -> out (n, M, N)
    """
    (n, M, K), N = a.shape, b.shape[2]
    left, right = layout(b[0]), layout(a[0])
    scale = np.array([alpha, beta], np.float32)
    cublas.gemmStridedBatchedEx(
        device.get_cublas_handle(), left.op, right.op, N, M, K,
        scale.ctypes.data, *matrix(b, left), apart(b), *matrix(a, right), apart(a),
        scale.ctypes.data + scale.itemsize, *matrix(out, layout_of_result(out[0])), apart(out),
        n, compute, DEFAULT,
    )  # fmt: skip
    return out


def matrix(array, layout):
    """A matrix as cuBLAS takes it: address, number type, numbers from one line to the next."""
    return array.data.ptr, KINDS[array.dtype.name], layout.stride


def apart(array):
    """Numbers from one matrix of a batch to the next."""
    return array.strides[0] // array.itemsize


def layout(view):
    """The Layout of a matrix as a factor. Raises ValueError if neither axis is contiguous.

    view (M, N)
    """
    (M, N), (down, along) = view.shape, (stride // view.itemsize for stride in view.strides)
    if N == 1 or along == 1:
        return Layout(AS_IT_IS, max(N, down if M > 1 else 0))
    if M == 1 or down == 1:
        return Layout(TURNED, max(M, along))
    raise ValueError(f"no axis of a matrix with strides {view.strides} is contiguous: copy it first")


def layout_of_result(view):
    """The Layout of a matrix to be filled, which cannot be turned."""
    found = layout(view)
    if found.op == TURNED:
        raise ValueError(f"the last axis of a result must be contiguous: found strides {view.strides}")
    return found


def product(a, b, dtype=None, **options):
    """a @ b as a new array.

    a (M, K), b (K, N) -> out (M, N)
    """
    return gemm(a, b, cupy.empty((a.shape[0], b.shape[1]), dtype or a.dtype), **options)
