"""Launches gelu.cu: bias and GELU. Reference: minigpt/ops/gelu.py."""

import functools

import cupy

from minigpt.kernels.cuda.column_sum import STRIPS, finish
from minigpt.kernels.cuda.module import blocks, kernel, width

THREADS = 128


def bias_gelu_forward(x, bias=None):
    """y = gelu(x + bias). x stays as it is: backward starts from it again.

    x (B, T, F), bias (F) -> y (B, T, F)
    """
    C, y = x.shape[-1], cupy.empty(x.shape, x.dtype)
    wide = width(C, x, bias)
    launch = kernel("gelu", "bias_gelu_forward", x.dtype, WIDTH=wide)
    launch((x.size // C, blocks(C, THREADS * wide)), (THREADS,), x, bias, y, C)
    return y


def bias_gelu_backward(dy, x, bias=None):
    """dx = dy * slope of gelu at x + bias, written over dy, and finish([out], add), which lays down dbias.

    finish: for a float32 vector (F), written over or added to.

    dy (B, T, F), x (B, T, F), bias (F) -> dx (B, T, F), finish
    """
    C = x.shape[-1]
    rows = x.size // C
    strips, wide = min(blocks(rows, 8), STRIPS), width(C, dy, x, bias)
    partial = cupy.empty((strips, 1, C), "float32")
    launch = kernel("gelu", "bias_gelu_backward", x.dtype, WIDTH=wide)
    launch((blocks(C, 32 * wide), strips), (256,), x, bias, dy, dy, partial, rows, C)
    return dy, functools.partial(finish, partial)
