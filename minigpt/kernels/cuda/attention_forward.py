"""Launches attention_forward.cu: attention that keeps no scores. Reference: minigpt/ops/attention.py."""

import math

import cupy
import ml_dtypes
import numpy as np

from minigpt.kernels.cuda.module import blocks, kernel

HEAD = 64  # the head size that the tiles are cut for
QUERIES = 128  # rows of a block


def supports(head_size, dtype):
    """Whether these kernels know heads of this size and type; else softmax.cu and matrix products do."""
    return head_size == HEAD and np.dtype(dtype) == ml_dtypes.bfloat16


def attention_forward(qkv, n_head):
    """y, and of each row of scores the logarithm of its sum of exponentials: all that backward needs.

    qkv (B, T, 3C) -> y (B, T, C), lse (B, H, T)
    """
    B, T, C = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    y, lse = cupy.empty((B, T, C), qkv.dtype), cupy.empty((B, n_head, T), "float32")
    launch = kernel("attention_forward", "attention_forward", qkv.dtype, WIDTH=8, QUERIES=QUERIES)
    grid, shared = (blocks(T, QUERIES), B * n_head), (QUERIES + 256) * 128
    launch(grid, (128,), qkv, y, lse, T, n_head, 1 / math.sqrt(HEAD), shared=shared)
    return y, lse
