"""Attention as a fused kernel rounds it: factors of products in bfloat16, the rest in float32."""

import ml_dtypes
import numpy as np


def forward(q, k, v, y, stats, *, scale, causal):
    """y = softmax(scale * q @ k') @ v and stats, the logarithms of the rows' sums, written where they belong.

    q (B, H, T, D), k (B, H, T, D), v (B, H, T, D), y (B, H, T, D), stats (B, H, T, 1)
    """
    s = scores(q, k, scale, causal)
    largest = s.max(axis=-1, keepdims=True)
    weights = np.exp(s - largest)
    total = weights.sum(axis=-1, keepdims=True)
    y[...] = narrow(weights) @ wide(v) / total
    stats[...] = largest + np.log(total)


def backward(q, k, v, y, dy, stats, dq, dk, dv, *, scale, causal):
    """dq, dk and dv, written where they belong.

    q (B, H, T, D), k (B, H, T, D), v (B, H, T, D), y (B, H, T, D), dy (B, H, T, D), stats (B, H, T, 1),
    dq (B, H, T, D), dk (B, H, T, D), dv (B, H, T, D)
    """
    probs = np.exp(scores(q, k, scale, causal) - stats)
    delta = (wide(dy) * wide(y)).sum(axis=-1, keepdims=True)
    ds = narrow(probs * (wide(dy) @ wide(v).swapaxes(-1, -2) - delta))
    dq[...] = np.float32(scale) * (ds @ wide(k))
    dk[...] = np.float32(scale) * (ds.swapaxes(-1, -2) @ wide(q))
    dv[...] = narrow(probs).swapaxes(-1, -2) @ wide(dy)


def scores(q, k, scale, causal):
    """scale * q @ k', what is not seen minus infinity.

    q (B, H, T, D), k (B, H, T, D) -> s (B, H, T, T)
    """
    s = np.float32(scale) * (wide(q) @ wide(k).swapaxes(-1, -2))
    return np.where(np.tri(s.shape[-1], dtype=bool), s, -np.inf) if causal else s


def wide(x):
    return x.astype(np.float32)


def narrow(x):
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)
