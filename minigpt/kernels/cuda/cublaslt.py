"""Matrix products by cublasLt, which can add, bend or sum up before it stores.

As in gemm.py, cublasLt counts along columns first and is asked for out' = b' @ a'. What it calls A is our
b, and a bias, of as many numbers as its result has rows, is one number for each of our columns. It takes
two questions: which algorithm suits a product of this kind (asked once, and kept), and then the product
itself.
https://docs.nvidia.com/cuda/cublas, cublasLtMatmul and cublasLtEpilogue_t; nvmath.bindings.cublasLt
"""

import functools
from typing import NamedTuple

import cupy
import numpy as np
from nvmath.bindings import cublasLt

from minigpt.kernels.cuda.gemm import AS_IT_IS, FULL, KINDS, Layout, layout, layout_of_result

WORKSPACE = 32 * 2**20  # bytes: what NVIDIA advises for an H100
ALIGNED = 16  # bytes: where a bias and an auxiliary matrix must begin
EIGHT = 8  # numbers: what an auxiliary matrix's rows must be a multiple of
SUCCESS, NOT_SUPPORTED = 0, 15  # cublasStatus_t
MOST_ALIGNED = 256  # bytes: more makes no difference to cublasLt
SOMEWHERE = ALIGNED  # an address to ask with: where one is missing it advises nothing (nvmath-python, Epilog)


class Matrix(NamedTuple):
    """What cublasLt knows of a matrix before it sees a number."""

    kind: int
    layout: Layout
    aligned: int  # bytes: what its address is a multiple of

    @classmethod
    def of(cls, array, layout):
        return cls(KINDS[array.dtype.name], layout, aligned(array))


class Kind(NamedTuple):
    """All that the choice of an algorithm hangs on."""

    shape: tuple[int, int, int]  # M, K, N
    a: Matrix
    b: Matrix
    added: Matrix
    out: Matrix
    epilogue: str
    aux_stride: int | None
    compute: int


def product(a, b, out, *, epilogue="DEFAULT", bias=None, aux=None, added=None, beta=0.0, compute=FULL):
    """out = finish(a @ b + beta * added), or nothing: True if cublasLt knows how to do all of this in one.

    added: another matrix like out, or None for out itself. epilogue: a name in cublasLtEpilogue_t. What
    they do:

        BIAS            out = a @ b + beta * added + bias
        GELU_AUX_BIAS   aux = a @ b + bias, out = gelu(aux)
        DGELU           out = (a @ b) * gelu'(aux)
        BGRADA          out = a @ b + beta * added, bias = column sums of b, written over

    a (M, K), b (K, N), out (M, N), added (M, N), bias (N), aux (M, N)
    """
    added = out if added is None else added
    if not usable(bias, aux):
        return False
    kind = Kind(
        (*a.shape, b.shape[1]), Matrix.of(a, layout(a)), Matrix.of(b, layout(b)),
        Matrix.of(added, layout_of_result(added)), Matrix.of(out, layout_of_result(out)),
        epilogue, None if aux is None else layout_of_result(aux).stride, compute,
    )  # fmt: skip
    plan = plan_of(kind)
    if plan is None:
        return False
    plan.point(bias, aux)
    scale = np.array([1, beta], np.float32)
    space = workspace()
    cublasLt.matmul(
        handle(), plan.product, scale.ctypes.data, b.data.ptr, plan.b, a.data.ptr, plan.a,
        scale.ctypes.data + scale.itemsize, added.data.ptr, plan.added, out.data.ptr, plan.out,
        plan.found["algo"].ctypes.data, space.data.ptr, space.nbytes, cupy.cuda.get_current_stream().ptr,
    )  # fmt: skip
    return True


def usable(bias, aux):
    """Whether these lie so that cublasLt can read and write them."""
    return all(array is None or aligned(array) >= ALIGNED for array in (bias, aux)) and (
        aux is None or layout_of_result(aux).stride % EIGHT == 0
    )


def aligned(array):
    """The largest power of two, up to 256, that the address is a multiple of."""
    return min(MOST_ALIGNED, array.data.ptr & -array.data.ptr)


class Plan:
    """A kind of product as cublasLt takes it; found: the algorithm that it advises, None if there is none."""

    def __init__(self, kind):
        M, K, N = kind.shape
        self.kind, self.product = kind, cublasLt.matmul_desc_create(kind.compute, KINDS["float32"])
        self.describe(TRANSA=kind.b.layout.op, TRANSB=kind.a.layout.op)
        self.describe(EPILOGUE=cublasLt.Epilogue[kind.epilogue], BIAS_DATA_TYPE=kind.out.kind)
        self.describe(BIAS_POINTER=SOMEWHERE)
        if kind.aux_stride is not None:
            self.describe(EPILOGUE_AUX_LD=kind.aux_stride, EPILOGUE_AUX_DATA_TYPE=kind.out.kind)
            self.describe(EPILOGUE_AUX_POINTER=SOMEWHERE)
        self.a, self.b = columns_first(kind.a, M, K), columns_first(kind.b, K, N)
        self.added, self.out = columns_first(kind.added, M, N), columns_first(kind.out, M, N)
        self.found = self.advised()

    def describe(self, **attributes):
        """Set what cublasLt calls CUBLASLT_MATMUL_DESC_name."""
        for name, value in attributes.items():
            attribute = cublasLt.MatmulDescAttribute[name]
            number = np.array(value, cublasLt.get_matmul_desc_attribute_dtype(attribute))
            cublasLt.matmul_desc_set_attribute(self.product, attribute, number.ctypes.data, number.itemsize)

    def point(self, bias, aux):
        """Say where a product's bias and auxiliary matrix are; the description is read as it is sent off."""
        if bias is not None:
            self.describe(BIAS_POINTER=bias.data.ptr)
        if aux is not None:
            self.describe(EPILOGUE_AUX_POINTER=aux.data.ptr)

    def advised(self):
        """cublasLtMatmulHeuristicResult_t, or None."""
        found, count = np.zeros((), cublasLt.matmul_heuristic_result_dtype), np.zeros((), np.int32)
        try:
            cublasLt.matmul_algo_get_heuristic(
                handle(), self.product, self.b, self.a, self.added, self.out,
                preference(self.kind), 1, found.ctypes.data, count.ctypes.data,
            )  # fmt: skip
        except cublasLt.cuBLASLtError as error:
            if error.status != NOT_SUPPORTED:
                raise
        return found if count and found["state"] == SUCCESS else None


def columns_first(matrix, rows, columns):
    """The layout of a matrix of ours, (rows, columns), as cublasLt sees its memory."""
    turned = matrix.layout.op != AS_IT_IS
    lines = (rows, columns) if turned else (columns, rows)
    return cublasLt.matrix_layout_create(matrix.kind, *lines, matrix.layout.stride)


def preference(kind):
    """What an algorithm may use and count on."""
    wanted = cublasLt.matmul_preference_create()
    places = zip("ABCD", (kind.b, kind.a, kind.added, kind.out), strict=True)
    bounds = {f"MIN_ALIGNMENT_{name}_BYTES": matrix.aligned for name, matrix in places}
    for name, value in {"MAX_WORKSPACE_BYTES": WORKSPACE, **bounds}.items():
        attribute = cublasLt.MatmulPreferenceAttribute[name]
        number = np.array(value, cublasLt.get_matmul_preference_attribute_dtype(attribute))
        cublasLt.matmul_preference_set_attribute(wanted, attribute, number.ctypes.data, number.itemsize)
    return wanted


@functools.cache
def plan_of(kind):
    """The Plan for a kind of product, made once; None if cublasLt has no algorithm for it."""
    plan = Plan(kind)
    if plan.found is None:
        REFUSED.append(kind)
        return None
    return plan


REFUSED: list[Kind] = []  # kinds of products for which cublasLt had no algorithm, as they came up


@functools.cache
def handle():
    """cublasLt itself."""
    return cublasLt.create()


@functools.cache
def workspace():
    """Memory for algorithms; products that follow one another on the stream share it."""
    return cupy.empty(WORKSPACE, "uint8")
