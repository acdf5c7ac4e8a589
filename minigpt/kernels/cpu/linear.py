"""Linear layers: each thread makes some of the output's columns. Reference: ops/linear.py."""

import numpy as np


def linear_forward(x, weight, bias, *, team):
    """y = x @ weight + bias.

    x (B, T, I), weight (I, O), bias (O) -> y (B, T, O)
    """
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty((rows.shape[0], weight.shape[1]), x.dtype)

    def job(columns):
        out = np.matmul(rows, weight[:, columns], out=y[:, columns])
        out += bias[columns]

    team.split(job, weight.shape[1], align=16)
    return y.reshape(*x.shape[:-1], -1), (x, weight)


def linear_backward(dy, cache, *, team):
    """dx = dy @ weight', dweight = x' @ dy, dbias = column sums of dy.

    dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)
    """
    x, weight = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dx, dweight = np.empty_like(rows), np.empty_like(weight)

    def job(columns):
        np.matmul(drows, weight[columns].T, out=dx[:, columns])
        np.matmul(rows.T[columns], drows, out=dweight[columns])

    team.split(job, weight.shape[0], align=16)
    return dx.reshape(x.shape), dweight, column_sums(drows)


def column_sums(rows):
    """rows.sum(axis=0) as a product with ones, which BLAS does at twice the speed.

    rows (N, O) -> sums (O)
    """
    return np.ones(rows.shape[0], rows.dtype) @ rows
