"""GELU, and GELU with its slope, in one sweep over a block of rows. Reference: ops/gelu.py."""

import numpy as np

from minigpt.kernels.cpu.team import blocks
from minigpt.ops.gelu import CUBIC, SLOPE


def gelu_forward(x, *, team):
    """y = h (1 + s) with h = x/2, s = tanh(SLOPE (x + CUBIC x^3)). x is donated: it becomes dy/dx.

    dy/dx = (1 + s) * (1/2 + h (1 - s) du/dx), so backward is a single multiplication.

    x (B, T, F) -> y (B, T, F)
    """
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty_like(rows)

    def job(share):
        for block in blocks(share, rows.shape[1]):
            value_and_slope(rows[block], y[block])

    team.split(job, *rows.shape)
    return y.reshape(x.shape), (x,)


def value(x, y):
    """Write gelu(x) = h (1 + s) into y.

    x (N, F), y (N, F)
    """
    s = np.multiply(x, x, out=y)
    s *= SLOPE * CUBIC
    s += SLOPE
    s *= x
    np.tanh(s, out=s)
    s += 1
    s *= x
    s *= 0.5


def value_and_slope(x, y):
    """Write gelu(x) into y and its derivative over x.

    x (N, F), y (N, F)
    """
    cubic = x * x
    cubic *= SLOPE * CUBIC  # SLOPE * CUBIC * x^2
    s = cubic + SLOPE
    s *= x
    np.tanh(s, out=s)
    h = np.multiply(x, 0.5, out=x)
    np.multiply(h, s, out=y)
    y += h
    cubic *= 3
    cubic += SLOPE  # du/dx
    cubic *= h
    np.subtract(1, s, out=h)
    h *= cubic
    h += 0.5
    s += 1
    h *= s


def gelu_backward(dy, cache, *, team):
    """dx = dy * slope. dy is donated.

    dy (B, T, F) -> dx (B, T, F)
    """
    (slope,) = cache
    rows, slope = dy.reshape(-1, dy.shape[-1]), slope.reshape(-1, dy.shape[-1])
    team.split(lambda share: np.multiply(rows[share], slope[share], out=rows[share]), *rows.shape)
    return dy
