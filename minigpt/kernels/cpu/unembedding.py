"""The output head: each thread makes a part of each product. Reference: ops/unembedding.py."""

import numpy as np

from minigpt.blas import on_zen4
from minigpt.kernels.cpu.gradient import products


def unembedding_forward(x, wte, *, team):
    """logits = x @ wte'.

    x (B, T, C), wte (V, C) -> logits (B, T, V)
    """
    rows = x.reshape(-1, x.shape[-1])
    logits = np.empty((rows.shape[0], wte.shape[0]), x.dtype)
    if len(rows) == 1 and by_dot_products(team.size):
        np.vecdot(wte, rows[0], out=logits[0])
        return logits.reshape(*x.shape[:-1], -1), (x, wte)

    def job(part):
        n, v = part
        np.matmul(rows[n], wte[v].T, out=logits[part])

    team.share(job, team.parts(*logits.shape, depth=rows.shape[1]))
    return logits.reshape(*x.shape[:-1], -1), (x, wte)


def by_dot_products(threads):
    """Whether one thread's dot products, one a token, read wte faster than BLAS's threads multiply it.

    A core of Zen 4 alone reads all that memory gives (33 GB/s; two threads of BLAS 25), a Xeon's half of it
    (14 GB/s; two threads of BLAS 30).
    """
    return threads <= 2 and on_zen4()


def unembedding_backward(dlogits, cache, *, team):
    """dx = dlogits @ wte; dwte = dlogits' @ x, a Gradient.

    dlogits (B, T, V) -> dx (B, T, C), dwte (V, C)
    """
    x, wte = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dlogits.reshape(-1, dlogits.shape[-1])
    dx = np.empty_like(rows)

    def job(part):
        n, c = part
        np.matmul(drows[n], wte[:, c], out=dx[n, c])

    team.share(job, team.parts(*dx.shape, depth=len(wte)))
    (dwte,) = products([(drows, rows)], team)
    return dx.reshape(x.shape), dwte
