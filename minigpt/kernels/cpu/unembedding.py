"""The output head: each thread makes a part of each product. Reference: ops/unembedding.py."""

import numpy as np


def unembedding_forward(x, wte, *, team):
    """logits = x @ wte'.

    x (B, T, C), wte (V, C) -> logits (B, T, V)
    """
    rows = x.reshape(-1, x.shape[-1])
    logits = np.empty((rows.shape[0], wte.shape[0]), x.dtype)

    def job(part):
        n, v = part
        np.matmul(rows[n], wte[v].T, out=logits[part])

    team.share(job, team.parts(*logits.shape, depth=wte.shape[1]))
    return logits.reshape(*x.shape[:-1], -1), (x, wte)


def unembedding_backward(dlogits, cache, *, team):
    """dx = dlogits @ wte, dwte = dlogits' @ x.

    dlogits (B, T, V) -> dx (B, T, C), dwte (V, C)
    """
    x, wte = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dlogits.reshape(-1, dlogits.shape[-1])
    dx, dwte = np.empty_like(rows), np.empty_like(wte)

    def job(part):
        (n, c), (v, d) = part
        np.matmul(drows[n], wte[:, c], out=dx[n, c])
        np.matmul(drows[:, v].T, rows[:, d], out=dwte[v, d])

    dx_parts = team.parts(*dx.shape, depth=len(wte))
    dwte_parts = team.parts(*dwte.shape, depth=len(rows))
    team.share(job, list(zip(dx_parts, dwte_parts, strict=True)))
    return dx.reshape(x.shape), dwte
