"""The output head: each thread makes some of the vocabulary's columns. Reference: ops/unembedding.py."""

import numpy as np


def unembedding_forward(x, wte, *, team):
    """logits = x @ wte'.

    x (B, T, C), wte (V, C) -> logits (B, T, V)
    """
    rows = x.reshape(-1, x.shape[-1])
    logits = np.empty((rows.shape[0], wte.shape[0]), x.dtype)
    team.split(lambda v: np.matmul(rows, wte[v].T, out=logits[:, v]), wte.shape[0], align=16)
    return logits.reshape(*x.shape[:-1], -1), (x, wte)


def unembedding_backward(dlogits, cache, *, team):
    """dx = dlogits @ wte, dwte = dlogits' @ x.

    dlogits (B, T, V) -> dx (B, T, C), dwte (V, C)
    """
    x, wte = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dlogits.reshape(-1, dlogits.shape[-1])
    dx, dwte = np.empty_like(rows), np.empty_like(wte)
    team.split(lambda c: np.matmul(drows, wte[:, c], out=dx[:, c]), wte.shape[1], align=16)
    team.split(lambda v: np.matmul(drows[:, v].T, rows, out=dwte[v]), wte.shape[0], align=16)
    return dx.reshape(x.shape), dwte
