"""Launches attention_backward.cu: the gradient of causal attention. Reference: minigpt/ops/attention.py."""

import math

import cupy

from minigpt.kernels.cuda.attention_forward import HEAD
from minigpt.kernels.cuda.module import blocks, kernel

QUERIES, KEYS = 128, 128  # rows of a block that makes dq; of one that makes dk and dv


def attention_backward(dy, qkv, y, lse):
    """dqkv; qkv is what forward was given, y and lse what it gave.

    dy (B, T, C), qkv (B, T, 3C), y (B, T, C), lse (B, H, T) -> dqkv (B, T, 3C)
    """
    (B, H, T), scale = lse.shape, 1 / math.sqrt(HEAD)
    delta, dqkv = cupy.empty(lse.shape, "float32"), cupy.empty(qkv.shape, qkv.dtype)
    delta_rows, keys, queries = (
        kernel("attention_backward", f"attention_{part}", qkv.dtype, WIDTH=8, QUERIES=QUERIES, KEYS=KEYS)
        for part in ("delta", "backward_keys", "backward_queries")
    )
    delta_rows((blocks(B * T * H, 32),), (256,), y, dy, delta, T, H, B * T * H)
    given = (qkv, dy, lse, delta, dqkv, T, H, scale)
    keys((blocks(T, KEYS), B * H), (128,), *given, shared=(2 * KEYS + 256) * 128 + 1024)
    queries((blocks(T, QUERIES), B * H), (128,), *given, shared=(2 * QUERIES + 256) * 128)
    return dqkv
