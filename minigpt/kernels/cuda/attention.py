"""Causal attention: in tiles that keep no scores, or, for heads that those do not know, with scores kept.

Reference: minigpt/ops/attention.py.
"""

import math
from typing import NamedTuple

import cupy

from minigpt.kernels.cuda import attention_backward as tiles_backward
from minigpt.kernels.cuda import attention_forward as tiles
from minigpt.kernels.cuda.gemm import gemm_batched
from minigpt.kernels.cuda.softmax import softmax_backward, softmax_forward


class Tiles(NamedTuple):
    """What the backward pass in tiles starts from."""

    qkv: cupy.ndarray  # (B, T, 3C)
    y: cupy.ndarray  # (B, T, C)
    lse: cupy.ndarray  # (B, H, T): the logarithm of each row's sum of exponentials


def attention_forward(qkv, n_head, *, compute):
    """Each position averages the values of itself and those before it.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    if tiles.supports(qkv.shape[-1] // 3 // n_head, qkv.dtype):
        y, lse = tiles.attention_forward(qkv, n_head)
        return y, Tiles(qkv, y, lse)
    return scores_forward(qkv, n_head, compute=compute)


def attention_backward(dy, cache, *, compute):
    """The gradient at queries, keys and values.

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    if isinstance(cache, Tiles):
        return tiles_backward.attention_backward(dy, *cache)
    return scores_backward(dy, cache, compute=compute)


# With scores written out -----------------------------------------------------------------------------------


def scores_forward(qkv, n_head, *, compute):
    """attention_forward, keeping all probabilities.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    q, k, v = split_heads(qkv, 3, n_head)  # (B*H, T, D) each
    T, D = q.shape[1:]
    probs = gemm_batched(q, k.swapaxes(1, 2), cupy.empty((len(q), T, T), q.dtype), compute=compute)
    softmax_forward(probs, 1 / math.sqrt(D))  # (B*H, T, T)
    mixed = gemm_batched(probs, v, cupy.empty_like(q), compute=compute)  # (B*H, T, D)
    return merge_heads(mixed[None], n_head), (q, k, v, probs)


def scores_backward(dy, cache, *, compute):
    """attention_backward from the probabilities.

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    q, k, v, probs = cache
    n_head = len(q) // dy.shape[0]
    (do,) = split_heads(dy, 1, n_head)  # (B*H, T, D)
    dscores = gemm_batched(do, v.swapaxes(1, 2), cupy.empty_like(probs), compute=compute)  # of probs, so far
    softmax_backward(dscores, probs, 1 / math.sqrt(q.shape[-1]))  # (B*H, T, T)
    gradients = cupy.empty((3, *q.shape), q.dtype)  # (3, B*H, T, D)
    gemm_batched(dscores, k, gradients[0], compute=compute)
    gemm_batched(dscores.swapaxes(1, 2), q, gradients[1], compute=compute)
    gemm_batched(probs.swapaxes(1, 2), do, gradients[2], compute=compute)
    return merge_heads(gradients, n_head)


def split_heads(x, parts, n_head):
    """Channels of `parts` arrays side by side as matrices of one head each.

    x (B, T, PC) -> heads (P, B*H, T, D)
    """
    B, T, width = x.shape
    D = width // parts // n_head
    heads = cupy.empty((parts, B, n_head, T, D), x.dtype)
    heads[...] = x.reshape(B, T, parts, n_head, D).transpose(2, 0, 3, 1, 4)
    return heads.reshape(parts, B * n_head, T, D)


def merge_heads(heads, n_head):
    """split_heads, undone.

    heads (P, B*H, T, D) -> x (B, T, PC)
    """
    parts, count, T, D = heads.shape
    B = count // n_head
    x = cupy.empty((B, T, parts, n_head, D), heads.dtype)
    x[...] = heads.reshape(parts, B, n_head, T, D).transpose(1, 3, 0, 2, 4)
    return x.reshape(B, T, parts * n_head * D)
