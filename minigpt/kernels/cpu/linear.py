"""Linear layers: each thread makes a part of each product. Reference: ops/linear.py."""

import numpy as np


def linear_forward(x, weight, bias, *, team):
    """y = x @ weight + bias.

    x (B, T, I), weight (I, O), bias (O) -> y (B, T, O)
    """
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty((rows.shape[0], weight.shape[1]), x.dtype)

    def job(part):
        n, o = part
        out = np.matmul(rows[n], weight[:, o], out=y[part])
        out += bias[o]

    team.share(job, team.parts(*y.shape, depth=len(weight)))
    return y.reshape(*x.shape[:-1], -1), (x, weight)


def linear_backward(dy, cache, *, team):
    """dx = dy @ weight', dweight = x' @ dy, dbias = column sums of dy.

    dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)
    """
    x, weight = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dx, dweight = np.empty_like(rows), np.empty_like(weight)

    def job(part):
        (n, i), (j, o) = part
        np.matmul(drows[n], weight[i].T, out=dx[n, i])
        np.matmul(rows[:, j].T, drows[:, o], out=dweight[j, o])

    dx_parts = team.parts(*dx.shape, depth=weight.shape[1])
    dweight_parts = team.parts(*dweight.shape, depth=len(rows))
    team.share(job, list(zip(dx_parts, dweight_parts, strict=True)))
    return dx.reshape(x.shape), dweight, column_sums(drows)


def column_sums(rows):
    """rows.sum(axis=0) as a product with ones, which BLAS does at twice the speed.

    rows (N, O) -> sums (O)
    """
    return np.ones(rows.shape[0], rows.dtype) @ rows
