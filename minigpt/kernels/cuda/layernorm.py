"""Launches layernorm.cu: residual sum and layer normalisation. Reference: minigpt/ops/layernorm.py."""

import functools

import cupy

from minigpt.kernels.cuda.column_sum import finish
from minigpt.kernels.cuda.module import blocks, kernel, width

WARPS = 4  # rows that a block of the forward pass works on at once
THREADS = 512  # of the backward pass at most: what layernorm.cu bounds
STRIPS = 528  # blocks of the backward pass: four for each multiprocessor of an H100, the same on every GPU


def layernorm_forward(x, gain, bias, branch=None, branch_bias=None):
    """s = x + branch + branch_bias, y = gain * n + bias with n = (s - mean) * rstd; without a branch s is x.

    x (B, T, C), gain (C), bias (C), branch (B, T, C), branch_bias (C)
    -> s (B, T, C), y (B, T, C), mean (B, T), rstd (B, T)
    """
    C = x.shape[-1]
    rows = x.size // C
    s = x if branch is None else cupy.empty(x.shape, x.dtype)
    y = cupy.empty(x.shape, x.dtype)
    mean, rstd = (cupy.empty(x.shape[:-1], "float32") for _ in range(2))
    wide = width(C, x, gain, bias, branch, branch_bias)
    launch = kernel("layernorm", "layernorm_forward", x.dtype, WIDTH=wide, ROUNDS=blocks(C, 32 * wide))
    written = None if branch is None else s
    arrays = (x, branch, branch_bias, gain, bias, written, y, mean, rstd)
    launch((blocks(rows, WARPS),), (32 * WARPS,), *arrays, rows, C)
    return s, y, mean, rstd


def layernorm_backward(dy, s, gain, mean, rstd, dresidual=None):
    """ds = dresidual + rstd * (dn - mean(dn) - n * mean(n * dn)) with dn = gain * dy, and finish(out, add).

    dresidual: the gradient that reaches s past the normalisation. finish lays up to four sums over rows into
    float32 vectors (C), any of which may be None: dgain, dbias, the sums of ds and those of dresidual.

    dy (B, T, C), s (B, T, C), gain (C), mean (B, T), rstd (B, T), dresidual (B, T, C) -> ds (B, T, C), finish
    """
    C = s.shape[-1]
    rows = s.size // C
    ds = cupy.empty(s.shape, s.dtype)
    strips = min(rows, STRIPS)
    partial = cupy.empty((strips, 4, C), "float32")
    wide = width(C, dy, s, gain, ds, dresidual)
    threads = min(THREADS, 32 * blocks(C, 32 * wide))
    launch = kernel("layernorm", "layernorm_backward", s.dtype, WIDTH=wide, ROUNDS=blocks(C, threads * wide))
    launch((strips,), (threads,), dy, s, gain, mean, rstd, dresidual, ds, partial, rows, C)
    return ds, functools.partial(finish, partial)
