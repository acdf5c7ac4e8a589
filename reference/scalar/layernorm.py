"""Layer normalisation over channels.

    n = (x - mean) / sqrt(variance + 1e-5)        mean and variance over a row's C channels
    y = gain * n + bias
"""

from reference.scalar.nested import shape, zeros
from reference.scalar.rounding import sqrt


def layernorm_forward(x, gain, bias):
    """x (B, T, C), gain (C), bias (C) -> y (B, T, C)"""
    B, T, C = shape(x)
    y = zeros(B, T, C)
    for b in range(B):
        for t in range(T):
            n, _ = normalise(x[b][t])
            for c in range(C):
                y[b][t][c] = gain[c] * n[c] + bias[c]
    return y


def layernorm_backward(dy, x, gain, bias):
    """x[j] moves every n[i] of its row, on three paths: directly, through the mean, through the variance.

        dn[i]/dx[j] = rstd * ([i = j] - 1/C - n[i] * n[j] / C)

    dy (B, T, C) -> dx (B, T, C), dgain (C), dbias (C)
    """
    B, T, C = shape(x)
    dx, dgain, dbias = zeros(B, T, C), zeros(C), zeros(C)
    for b in range(B):
        for t in range(T):
            n, rstd = normalise(x[b][t])
            for i in range(C):
                dgain[i] += dy[b][t][i] * n[i]
                dbias[i] += dy[b][t][i]
                pull = dy[b][t][i] * gain[i] * rstd
                dx[b][t][i] += pull
                for j in range(C):
                    dx[b][t][j] -= pull / C
                    dx[b][t][j] -= pull * n[i] * n[j] / C
    return dx, dgain, dbias


def normalise(row):
    """One row at mean 0 and variance 1, and 1 / its standard deviation: row (C) -> n (C), rstd ()"""
    C = len(row)
    mean = sum(row) / C
    variance = sum((value - mean) * (value - mean) for value in row) / C
    rstd = 1 / sqrt(variance + 1e-5)
    return [(value - mean) * rstd for value in row], rstd
