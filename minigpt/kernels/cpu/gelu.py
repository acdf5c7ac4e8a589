"""GELU, and GELU with its slope, in one sweep over a block of rows. Reference: ops/gelu.py."""

import numpy as np

from minigpt.ops.gelu import CUBIC, SLOPE


def gelu_forward(x, *, team):
    """y = x g with g = (1 + tanh(u)) / 2, u = SLOPE (x + CUBIC x^3). x is donated: it becomes dy/dx.

    dy/dx = g + y (1 - g) 2 du/dx, so backward is a single multiplication.

    x (B, T, F) -> y (B, T, F)
    """
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty_like(rows)

    team.split(lambda block: value_and_slope(rows[block], y[block]), *rows.shape)
    return y.reshape(x.shape), (x,)


def value(x, y):
    """Write gelu(x) = x g into y.

    x (N, F), y (N, F)
    """
    gate(x, np.multiply(x, x, out=y), y)
    y *= x


def value_and_slope(x, y):
    """Write gelu(x) = x g into y, and dy/dx = g + x g (1 - g) 2u' over x, as g' = g (1 - g) 2u'.

    x (N, F), y (N, F)
    """
    square = x * x
    g = gate(x, square, np.empty_like(x))
    np.multiply(x, g, out=y)
    twice = np.multiply(square, 6 * SLOPE * CUBIC, out=square)
    twice += 2 * SLOPE  # 2 u'
    slope = np.subtract(1, g, out=x)
    slope *= y
    slope *= twice
    slope += g


def gate(x, square, out):
    """What part of x comes through: g = (1 + tanh(u)) / 2 with u = SLOPE (x + CUBIC x^3).

    x (N, F), square (N, F), out (N, F) -> g (N, F)
    """
    g = np.multiply(square, SLOPE * CUBIC, out=out)
    g += SLOPE
    g *= x
    np.tanh(g, out=g)
    g *= 0.5
    g += 0.5
    return g


def gelu_backward(dy, cache, *, team):
    """dx = dy * slope. dy is donated.

    dy (B, T, F) -> dx (B, T, F)
    """
    (slope,) = cache
    rows, slope = dy.reshape(-1, dy.shape[-1]), slope.reshape(-1, dy.shape[-1])
    team.split(lambda block: np.multiply(rows[block], slope[block], out=rows[block]), *rows.shape)
    return dy
