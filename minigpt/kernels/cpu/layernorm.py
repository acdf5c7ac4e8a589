"""Layer normalisation, a block of rows at a time. Reference: ops/layernorm.py."""

import numpy as np

from minigpt.kernels.cpu.linear import column_sums
from minigpt.kernels.cpu.team import blocks
from minigpt.ops.layernorm import EPS


def layernorm_forward(x, gain, bias, *, team):
    """y = gain * n + bias. Means over channels are products with a vector, which BLAS reads once.

    x (B, T, C), gain (C), bias (C) -> y (B, T, C)
    """
    C = x.shape[-1]
    rows = x.reshape(-1, C)
    n, y, rstd = np.empty_like(rows), np.empty_like(rows), np.empty((rows.shape[0], 1), x.dtype)
    average = np.full(C, 1 / C, x.dtype)

    def job(share):
        for block in blocks(share, C):
            centred = np.subtract(rows[block], (rows[block] @ average)[:, None], out=n[block])
            variance = np.vecdot(centred, centred)[:, None] / C
            rstd[block] = 1 / np.sqrt(variance + EPS)
            centred *= rstd[block]
            np.multiply(centred, gain, out=y[block])
            y[block] += bias

    team.split(job, *rows.shape)
    return y.reshape(x.shape), (n, rstd, gain)


def layernorm_backward(dy, cache, *, team):
    """dx = rstd * (dn - mean(dn) - n * mean(n * dn)) with dn = gain * dy. dy is donated.

    dy * n serves twice: its column sums are dgain, and its product with gain / C is mean(n * dn).

    dy (B, T, C) -> dx (B, T, C), dgain (C), dbias (C)
    """
    n, rstd, gain = cache
    C = dy.shape[-1]
    rows = dy.reshape(-1, C)
    gain_average = gain / C
    sums = []  # (dgain, dbias) of every thread's rows

    def job(share):
        dgain, dbias = np.zeros_like(gain), np.zeros_like(gain)
        for block in blocks(share, C):
            d, normal = rows[block], n[block]
            p = d * normal
            shift, scale = (d @ gain_average)[:, None], (p @ gain_average)[:, None]
            dgain += column_sums(p)
            dbias += column_sums(d)
            np.multiply(normal, scale, out=p)
            d *= gain
            d -= p
            d -= shift
            d *= rstd[block]
        sums.append((share.start, dgain, dbias))

    team.split(job, *rows.shape)
    _, dgains, dbiases = zip(*sorted(sums, key=lambda part: part[0]), strict=True)  # in order: reproducible
    return dy, sum(dgains), sum(dbiases)
