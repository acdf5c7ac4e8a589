"""Layer normalisation, a block of rows at a time. Reference: ops/layernorm.py."""

import numpy as np

from minigpt.kernels.cpu.gradient import known
from minigpt.kernels.cpu.linear import column_sums
from minigpt.ops.layernorm import EPS


def layernorm_forward(x, gain, bias, *, team):
    """y = gain * n + bias.

    x (B, T, C), gain (C), bias (C) -> y (B, T, C)
    """
    C = x.shape[-1]
    rows = x.reshape(-1, C)
    n, y, rstd = np.empty_like(rows), np.empty_like(rows), np.empty((rows.shape[0], 1), x.dtype)

    def job(block):
        normalise(rows[block], n[block], rstd[block])
        scaled(n[block], gain, bias, out=y[block])

    team.split(job, *rows.shape)
    return y.reshape(x.shape), (n, rstd, gain)


def layernorm_backward(dy, cache, *, team):
    """dx = rstd * (dn - mean(dn) - n * mean(n * dn)) with dn = gain * dy. dy is donated.

    dy (B, T, C) -> dx (B, T, C), dgain (C), dbias (C)
    """
    n, rstd, gain = cache
    C = dy.shape[-1]
    rows = dy.reshape(-1, C)

    def job(block):
        sums = np.zeros((2, C), dy.dtype)  # dgain, dbias
        slope(rows[block], n[block], rstd[block], gain, *sums)
        return sums

    dgain, dbias = sum(team.split(job, *rows.shape))
    return dy, known(dgain), known(dbias)


def normalise(x, n, rstd):
    """Write x shifted and scaled to mean 0, variance 1. The mean is a product, which BLAS reads once.

    x (N, C), n (N, C), rstd (N, 1)
    """
    C = x.shape[1]
    np.subtract(x, (x @ np.full(C, 1 / C, x.dtype))[:, None], out=n)
    np.sqrt(np.vecdot(n, n)[:, None] / C + EPS, out=rstd)
    np.divide(1, rstd, out=rstd)
    n *= rstd


def scaled(n, gain, bias, out=None):
    """gain * n + bias.

    n (N, C), gain (C), bias (C) -> y (N, C)
    """
    y = np.multiply(n, gain, out=out)
    y += bias
    return y


def slope(d, n, rstd, gain, dgain, dbias):
    """Turn the gradient d at gain * n + bias into that at layernorm's input; add to dgain and dbias.

    d * n serves twice: its column sums are dgain, and its product with gain / C is mean(n * dn).

    d (N, C), n (N, C), rstd (N, 1), gain (C), dgain (C), dbias (C)
    """
    p, gain_average = d * n, gain / len(gain)
    shift, scale = (d @ gain_average)[:, None], (p @ gain_average)[:, None]
    dgain += column_sums(p)
    dbias += column_sums(d)
    np.multiply(n, scale, out=p)
    d *= gain
    d -= p
    d -= shift
    d *= rstd
