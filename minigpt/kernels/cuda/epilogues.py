"""Products with what follows them done as they are stored: the second table, --products cublaslt.

Each function has a name for what it computes, and where cublasLt knows no algorithm goes the way of the
first table. Sums of gradients ride only on products whose result is float32: those of weights, not that of
GELU's slope, which is bfloat16. cublasLt's GELU is the tanh form, as ours.
"""

import cupy

from minigpt.kernels.cuda import bias, gelu
from minigpt.kernels.cuda.column_sum import column_sum
from minigpt.kernels.cuda.cublaslt import product
from minigpt.kernels.cuda.gemm import gemm
from minigpt.kernels.cuda.operations import matmul, rows
from minigpt.kernels.gradient import together


def linear(x, weight, offset, compute):
    """y = x @ weight + bias.

    x (B, T, I), weight (I, O), offset (O) -> y (B, T, O)
    """
    y = room(x, weight)
    if product(rows(x), weight, rows(y), epilogue="BIAS", bias=offset, compute=compute):
        return y
    gemm(rows(x), weight, rows(y), compute=compute)
    return bias.bias_add(y, offset)


def linear_on_top(residual, x, weight, offset, compute):
    """y = residual + x @ weight + bias.

    residual (B, T, O), x (B, T, I), weight (I, O), offset (O) -> y (B, T, O)
    """
    y, on_top = room(x, weight), {"added": rows(residual), "beta": 1.0}
    if product(rows(x), weight, rows(y), epilogue="BIAS", bias=offset, compute=compute, **on_top):
        return y
    gemm(rows(x), weight, rows(y), compute=compute)
    return bias.residual_add(residual, y, offset)


def linear_gelu(x, weight, offset, compute):
    """y = gelu(wide) with wide = x @ weight + bias.

    x (B, T, I), weight (I, O), offset (O) -> y (B, T, O), wide (B, T, O)
    """
    y, wide = room(x, weight), room(x, weight)
    ways = {"epilogue": "GELU_AUX_BIAS", "bias": offset, "aux": rows(wide)}
    if product(rows(x), weight, rows(y), compute=compute, **ways):
        return y, wide
    gemm(rows(x), weight, rows(wide), compute=compute)
    bias.bias_add(wide, offset)
    return gelu.bias_gelu_forward(wide), wide


def linear_gelu_backward(dy, weight, wide, compute):
    """dwide = (dy @ weight') * slope of gelu at wide.

    dy (B, T, O), weight (F, O), wide (B, T, F) -> dwide (B, T, F)
    """
    dwide = cupy.empty_like(wide)
    if product(rows(dy), weight.T, rows(dwide), epilogue="DGELU", aux=rows(wide), compute=compute):
        return dwide
    gemm(rows(dy), weight.T, rows(dwide), compute=compute)
    return gelu.bias_gelu_backward(dwide, wide)[0]


def gradients(x, dy, compute):
    """x' @ dy and the column sums of dy, in one product. To be added, sums go through an array of their own.

    x (B, T, I), dy (B, T, O) -> dweight (I, O), dbias (O)
    """

    def write(places, add):
        dweight, dbias = places
        sums = cupy.empty_like(dbias) if add else dbias
        given, more = (rows(x).T, rows(dy), dweight), {"beta": float(add), "compute": compute}
        if not product(*given, epilogue="BGRADA", bias=sums, **more):
            gemm(*given, **more)
            column_sum(dy, out=dbias, add=add)
        elif add:
            dbias += sums

    return together(write, 2)


def room(x, weight):
    """An array for x @ weight.

    x (B, T, I), weight (I, O) -> y (B, T, O)
    """
    return cupy.empty((*x.shape[:-1], weight.shape[1]), x.dtype)


# The entries of the table ----------------------------------------------------------------------------------


def linear_forward(x, weight, offset, *, compute):
    """y = x @ weight + bias.

    x (B, T, I), weight (I, O), offset (O) -> y (B, T, O)
    """
    return linear(x, weight, offset, compute), (x, weight)


def linear_backward(dy, cache, *, compute):
    """dx = dy @ weight', dweight = x' @ dy, dbias = column sums of dy.

    dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)
    """
    x, weight = cache
    return matmul(dy, weight.T, compute), *gradients(x, dy, compute)
